"""Runs `python -m flows serve | status | tidy`: the schedule in one process, its state, and its cleaning."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NoReturn

from pipelines.commands.stop import Stop
from pipelines.commands.streams import CLOSED_PIPE, OutputLost, Streams
from pipelines.commands.terminal import print_as_json, say
from pipelines.errors import FAILED, GOOD, INTERRUPTED, PARTIAL, Failure, where
from pipelines.store.private import close_to_others

EXAMPLES = """\
examples:
  export PREFECT_API_URL=http://127.0.0.1:4200/api
  python -m flows serve                    deploy all flows and run them, in one process, until it is stopped
  python -m flows status                   show server, deployments, next runs and late runs
  python -m flows tidy                     drop repeated late runs, mark dead runs as crashed
  prefect deployment run ingest/ingest     start one run now

exit status: 0 good · 1 the server cannot be reached · 2 wrong usage · 4 a deployment is late, paused, outdated or missing, or the
server is open to others · 130 interrupted · 141 the reader of the output has gone (`| head`)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status. Never shows a traceback."""
    stop, streams = Stop(), Streams()
    streams.prepare()
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ending:  # help, or wrong usage: printed already
        return streams.ended(int(ending.code or GOOD))
    if options.command is not serve:  # it ends in order
        stop.listen()
    return streams.ended(_status(options, stop, streams))


def _status(options: argparse.Namespace, stop: Stop, streams: Streams) -> int:
    """Returns what the command ended with, and prints why it ended badly."""
    # Before Prefect is imported, which takes a second: nothing is sent anywhere.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    try:
        return int(options.command(options))
    except OutputLost as lost:
        return streams.lost(lost)
    except Failure as failure:
        say(failure, error=True)
        return failure.exit_status
    except (Exception, KeyboardInterrupt) as error:
        if stop.asked or isinstance(error, KeyboardInterrupt):
            say("Interrupted.", error=True)
            return INTERRUPTED
        say(f"A fault in this program: {where(error)}. Please report it with this line.", error=True)
        return FAILED


def serve(options: argparse.Namespace) -> int:
    """Deploys all flows, tidies the server, then starts each due run in a process of its own."""
    from flows.concurrency import set_limit
    from flows.deployments import SCHEDULE
    from flows.operations import server, tidy
    from flows.secrets import settings_in_force
    from flows.serving import alone
    from flows.serving import serve as served

    with ExitStack() as until_the_end:
        with server() as client:
            data_dir = settings_in_force().data_dir
            until_the_end.enter_context(alone(data_dir))
            set_limit(client)
            for sentence in tidy(client, data_dir):
                say(sentence)
        served([one.deployment() for one in SCHEDULE], limit=options.limit, poll=options.poll)
    return GOOD


def status(options: argparse.Namespace) -> int:
    """Runs `status`."""
    from prefect.settings import get_current_settings
    from rich.console import Console

    from flows.access import access
    from flows.concurrency import taken
    from flows.operations import as_json, server, show, standings, troubles

    with server() as client:
        about = f"Prefect {client.api_version()} at {get_current_settings().api.url}"
        listed, places, reached = standings(client), taken(client), access(client)
    if options.json:
        print_as_json(json.dumps(as_json(listed, places, about, reached)))
    else:
        console = Console()
        show(listed, places, about, reached, console if console.is_terminal else Console(width=140))
    return PARTIAL if troubles(listed, reached) else GOOD


def tidy_up(_: argparse.Namespace) -> int:
    """Runs `tidy`."""
    from flows.concurrency import set_limit
    from flows.operations import server, tidy
    from flows.secrets import settings_in_force

    with server() as client:
        set_limit(client)
        sentences = tidy(client, settings_in_force().data_dir)
    say(*sentences or ["Nothing to put in order."])
    return GOOD


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more is needed")
    return number


def leave(status: int) -> NoReturn:
    """Exits. After an interrupt Python would end by the signal once more, and after lost output try that once more."""
    if status in (FAILED, INTERRUPTED, CLOSED_PIPE):
        os._exit(status)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows",
        description="Runs kontoledger on a schedule, by Prefect.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="deploy all flows and run them in this process; no work pool is needed")
    serving.add_argument("--limit", type=_at_least_one, default=4, help="maximum number of runs at once (default %(default)s)")
    serving.add_argument(
        "--poll",
        type=_at_least_one,
        default=10,
        metavar="SECONDS",
        help="time between two checks for due runs (default %(default)s)",
    )
    serving.set_defaults(command=serve)
    standing = commands.add_parser("status", help="show server, deployments, next runs and late runs")
    standing.add_argument("--json", action="store_true", help="one JSON object on standard output")
    standing.set_defaults(command=status)
    tidying = commands.add_parser(
        "tidy", help="set the limit of commands; drop late scheduled runs that a later one repeats; mark dead runs as crashed"
    )
    tidying.set_defaults(command=tidy_up)
    return parser


if __name__ == "__main__":
    close_to_others()  # and with it the runs that `serve` starts
    leave(main())
