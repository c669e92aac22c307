"""The command line. It parses, calls, prints and exits; what a command does is elsewhere, and imported only when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from pipelines.commands.arguments import consents, data, fleet, operations, payments, questions
from pipelines.commands.arguments.common import Commands, options_anywhere
from pipelines.commands.command_parser import CommandParser
from pipelines.commands.stop import SENTENCE, Stop
from pipelines.commands.streams import OutputLost, Streams
from pipelines.commands.terminal import print_error, say
from pipelines.errors import FAILED, GOOD, INTERRUPTED, Failure

EXAMPLES = """\
examples:
  python -m pipelines run --sandbox             try it: no bank, no credentials
  python -m pipelines run                       read every configured bank, publish the ledger
  python -m pipelines run --source kontist      one bank only
  python -m pipelines run --since 2026-01-01    read again from a day
  python -m pipelines status                    how fresh each account is, days left of each consent
  python -m pipelines status --max-age 13       for a monitor: ends with 4 when an account is older or a consent has ended

exit status: 0 good · 1 failed, nothing new published · 2 wrong usage or configuration · 3 a check failed, the ledger
published before stays · 4 published, but something could not be read, or a bank has changed a closed month (it is named)
130 interrupted · 141 the program that read the output has ended (`| head`)
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and exits with its status. Never shows a traceback."""
    stop, streams = Stop(), Streams()
    stop.listen()
    streams.prepare()
    sys.meta_path.insert(0, _WithoutUnused)
    try:
        status = streams.ended(_status(arguments, stop, streams))
    except KeyboardInterrupt:  # while the end was printed
        status = INTERRUPTED
    # Threads that wait for a bank would hold the exit up; nothing of theirs is wanted any more.
    os._exit(status)


def _status(arguments: Sequence[str] | None, stop: Stop, streams: Streams) -> int:
    """Runs a command; returns its exit status, and prints why it ended badly."""
    options = argparse.Namespace()
    try:
        options = parser().parse_args(arguments)
        if options.json:
            streams.expect_json()
        status: int = options.command(options)
    except SystemExit as ending:  # argparse: help, or wrong usage, printed already
        return int(ending.code or GOOD)
    except OutputLost as lost:
        return streams.lost(lost)
    except (Exception, KeyboardInterrupt) as error:
        if stop.asked or isinstance(error, KeyboardInterrupt):
            sentence, status = SENTENCE, INTERRUPTED  # DuckDB, for one, makes an error of its own of an interrupt
        elif isinstance(error, Failure):
            sentence, status = str(error), error.exit_status
        else:
            from pipelines.errors import places, unexpected

            sentence, status = unexpected(error), FAILED
            if getattr(options, "verbose", False):
                sentence = f"{sentence} It happened in {places(error)}."
    else:
        return status
    with suppress(OutputLost):  # the sentence is on standard error, and the status is bad enough
        print_error(options, sentence, status)
    return status


class _WithoutUnused:
    """Hides what no command uses: pyarrow imports pandas and numpy (0.2 s of every run), httpx its command line with rich."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Raises `ModuleNotFoundError` for these."""
        if name in ("pandas", "numpy", "httpx._main"):
            raise ModuleNotFoundError(f"{name} is not used here", name=name)


class _Version(argparse.Action):
    """Prints versions when it is asked, since looking them up costs more than `--help` may."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002  # argparse's
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints the versions and ends."""
        from importlib.metadata import version

        python = ".".join(map(str, sys.version_info[:3]))
        say(f"kontoledger {version('kontoledger')}, Python {python}, DuckDB {version('duckdb')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command and option."""
    anywhere = [options_anywhere()]
    top = CommandParser(
        prog="python -m pipelines",
        description="Reads bank accounts through Kontomatik and Kontist into one checked DuckDB ledger.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=anywhere,
    )
    top.add_argument("--version", action=_Version, help="print the versions of kontoledger, Python and DuckDB")
    commands = Commands(top.add_subparsers(required=True, metavar="COMMAND"), anywhere)
    for group in (data, questions, consents, operations, fleet, payments):
        group.declare(commands)
    return top
