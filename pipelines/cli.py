"""The command line. It parses, calls, prints and exits; what a command does is elsewhere, and imported only when it runs."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, INTERRUPTED, Failure, WrongUsage

EXAMPLES = """\
examples:
  python -m pipelines run --sandbox             try it: no bank, no credentials
  python -m pipelines run                       read every configured bank, publish the ledger
  python -m pipelines run --source kontist      one bank only
  python -m pipelines run --since 2026-01-01    read again from a day
  python -m pipelines status                    how fresh each account is, days left of each consent

exit status: 0 good · 1 failed, nothing new published · 2 wrong usage or configuration · 3 a check failed, the ledger
published before stays · 4 published, but something could not be read (it is named) · 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with the status that the contract gives it. Never shows a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
    except Failure as failure:
        status = failure.exit_status
        _tell(options, str(failure), status)
    except KeyboardInterrupt:
        status = INTERRUPTED
        _tell(options, "Interrupted. What was published before is untouched; run again to go on.", status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = GOOD
    except Exception as error:  # the last resort: a fault of ours, told without the data that its text may hold
        from pipelines.run import where

        status = FAILED
        _tell(
            options, f"A fault in this program: {where(error)}. What was published before is untouched. Please report it.", status
        )
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that wait for a bank would hold the exit up; nothing of theirs is wanted any more.
    os._exit(status)


def parser() -> argparse.ArgumentParser:
    """Every command and option."""
    anywhere = argparse.ArgumentParser(add_help=False)
    anywhere.add_argument("--data-dir", type=Path, default=argparse.SUPPRESS, metavar="PATH", help="where data is kept")
    top = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Reads bank accounts through Kontomatik and Kontist into one checked DuckDB ledger.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[anywhere],
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: Any, about: str, to: Any = None) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = (to or commands).add_parser(name, help=about, description=about, parents=[anywhere])
        added.set_defaults(command=does, json=False)
        return added

    run = command("run", _run, "extract, load, build the ledger, check it, publish it")
    run.add_argument(
        "--source", action="append", choices=("kontomatik", "kontist"), default=[], help="only this bank (repeatable)"
    )
    run.add_argument("--since", type=_day, metavar="DATE", help="read again from this day (YYYY-MM-DD)")
    run.add_argument("--full-refresh", action="store_true", help="read all that the banks still show")
    run.add_argument(
        "--accept-removals",
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="believe that its bank removed rows",
    )
    run.add_argument("--sandbox", action="store_true", help="read the built-in sandbox bank, into a data directory of its own")
    _json(run)
    _json(command("status", _status, "freshness per account, consents, quota, last run and checks"))
    _json(command("transform", _transform, "rebuild the ledger from raw history, without network"))
    _json(command("check", _check, "check the published ledger against raw history again, without network"))

    connect = command("connect", _connect, "connect a bank and import at once")
    connect.add_argument("source", choices=("kontomatik",))
    connect.add_argument("--mock", action="store_true", help="use a mock session at Kontomatik's test bank")
    _json(connect)

    consents = command("consents", _consents_list, "list consents, or add one")
    actions = consents.add_subparsers(metavar="ACTION")
    _json(consents)
    _json(command("list", _consents_list, "every consent with its days left (no token, ever)", actions))
    add = command("add", _consents_add, "store a consent whose token is on standard input", actions)
    add.add_argument("source", choices=("kontomatik",))
    add.add_argument("--institution", required=True, help="the bank, as the catalog names it")
    add.add_argument("--target", help="the bank's target name, if known")
    add.add_argument("--access-mode", choices=("MULTIPLE", "MIXED"), default="MULTIPLE")
    add.add_argument(
        "--signed-in", type=_day, metavar="DATE", help="day of the sign-in, from which 180 days count (default today)"
    )

    sandbox = command("sandbox", _sandbox_help, "the sandbox bank")
    serve = command(
        "serve", _sandbox_serve, "run the sandbox bank as a server of its own", sandbox.add_subparsers(metavar="ACTION")
    )
    serve.add_argument("--port", type=int, default=8711)
    serve.add_argument("--dialect", choices=("openapi", "live"), default="openapi", help="how its Kontomatik speaks")
    serve.add_argument("--seed", type=int, default=7, help="which world it tells of")

    doctor = command("doctor", _doctor, "tools for the configuration")
    doctor.add_argument("--new-vault-key", action="store_true", required=True, help="print a fresh vault key")
    return top


def _run(options: argparse.Namespace) -> int:
    from pipelines.run import Options

    settings = _settings(options)
    asked = Options(tuple(options.source), options.since, options.full_refresh, tuple(options.accept_removals))
    if not options.sandbox:
        return _run_and_tell(options, settings, asked)
    from pipelines.trying import sandbox

    with sandbox(settings) as trying:
        return _run_and_tell(options, trying, asked)


def _connect(options: argparse.Namespace) -> int:
    from pipelines.run import Options

    if not options.mock:
        raise WrongUsage(
            "Only mock sessions can be connected so far",
            "Use --mock, or `consents add kontomatik` with the token that your own sign-in obtained",
        )
    settings = _settings(options)
    if not settings.kontomatik.configured:
        raise WrongUsage("Kontomatik is not configured", "Set sources.kontomatik.api_key in .dlt/secrets.toml")
    return _run_and_tell(options, settings, Options(("kontomatik",)), connect=True)


def _run_and_tell(options: argparse.Namespace, settings: Any, asked: Any, *, connect: bool = False) -> int:
    from pipelines import report as telling
    from pipelines.lock import held
    from pipelines.run import run, utc_now

    openings = None
    with held(settings.data_dir, "connect" if connect else "run"), _progress(options) as progress:
        if connect or (settings.sandbox and not _has_consent(settings)):
            from pipelines.consents.connect import mock_opening

            openings = mock_opening(utc_now)
        report = run(settings, asked, openings=openings, progress=progress)
        text = telling.as_json(report)
        _remember(settings.data_dir, text)
    if options.json:
        print(text)
    else:
        telling.show(report, _console())
    return report.exit_status


def _has_consent(settings: Any) -> bool:
    if not (settings.data_dir / "vault.sqlite").exists():
        return False
    from pipelines.consents.registry import Vault

    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key)
    try:
        return bool(vault.consents(source="kontomatik", status=("active", "pending")))
    finally:
        vault.close()


def _remember(data_dir: Path, text: str) -> None:
    """Keep the last report for `status`. Bookkeeping: the ledger is fine without it."""
    from contextlib import suppress

    with suppress(OSError):
        path = data_dir / "run.last.json"
        beside = path.with_name("run.last.json.new")
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o600)
        beside.replace(path)


def _transform(options: argparse.Namespace) -> int:
    from pipelines.ledger import build_and_publish
    from pipelines.lock import held

    settings = _settings(options)
    with held(settings.data_dir, "transform"), _progress(options) as progress:
        done = build_and_publish(settings.data_dir, lambda name, step, steps: progress.step(f"Ledger: {name}", step, steps))
    if options.json:
        print(json.dumps({"published": str(done.path), "rows": done.rows, "checks": {"passed": len(done.checks), "failed": []}}))
    else:
        print(f"Published {done.path}: {done.rows.get('transactions', 0):,} transactions, {len(done.checks)} checks passed.")
    return GOOD


def _check(options: argparse.Namespace) -> int:
    from pipelines.ledger import check_again

    results = check_again(_settings(options).data_dir)
    failed = [result for result in results if not result.passed]
    if options.json:
        told = [{"check": one.name, "rows": one.failed_rows, "meaning": one.meaning} for one in failed]
        print(json.dumps({"passed": len(results) - len(failed), "failed": told}, ensure_ascii=False))
    else:
        for one in failed:
            print(f"! {one.name}, {one.failed_rows} rows: {one.meaning}")
        print(f"{len(results) - len(failed)} checks passed, {len(failed)} failed.")
    return CHECKS_FAILED if failed else GOOD


def _status(options: argparse.Namespace) -> int:
    from pipelines.status import gather, show

    gathered = gather(_settings(options))
    if options.json:
        print(json.dumps(gathered, default=str, ensure_ascii=False))
    else:
        show(gathered, _console())
    return GOOD


def _consents_list(options: argparse.Namespace) -> int:
    from pipelines.status import consents, show_consents

    gathered = consents(_settings(options))
    if options.json:
        print(json.dumps({"consents": gathered}, default=str, ensure_ascii=False))
    else:
        show_consents(gathered, _console())
    return GOOD


def _consents_add(options: argparse.Namespace) -> int:
    from pipelines.consents.connect import add_token
    from pipelines.consents.registry import Vault
    from pipelines.lock import prepare

    settings = _settings(options)
    if sys.stdin.isatty():
        from getpass import getpass

        token = getpass("Token (not shown): ")
    else:
        token = sys.stdin.read()
    prepare(settings.data_dir)
    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key)
    signed_in = datetime.now(UTC)
    if options.signed_in is not None:
        signed_in = min(signed_in, datetime.combine(options.signed_in, signed_in.timetz()))
    try:
        consent = add_token(
            vault,
            token,
            institution=options.institution,
            target=options.target,
            access_mode=options.access_mode,
            signed_in=signed_in,
        )
    finally:
        vault.close()
    print(f"Stored consent {consent.consent_id} ({consent.institution}), {consent.days_left(datetime.now(UTC))} days left.")
    return GOOD


def _sandbox_serve(options: argparse.Namespace) -> int:
    from pipelines.sandbox import World, serve_forever

    world = World(options.seed)

    def ready(url: str) -> None:
        print(f"The sandbox bank listens at {url}; Ctrl-C ends it. To read it:")
        print(f"  export SOURCES__KONTOMATIK__BASE_URL={url}/v1 SOURCES__KONTOMATIK__API_KEY={world.kontomatik_api_key}")
        print(f"  export SOURCES__KONTOMATIK__DIALECT={options.dialect} SOURCES__KONTOMATIK__POLL_INTERVAL=0.1")
        print(f"  export SOURCES__KONTIST__BASE_URL={url} SOURCES__KONTIST__REQUESTS_PER_MINUTE=0")
        print(f"  export SOURCES__KONTIST__EMAIL={world.kontist_email} SOURCES__KONTIST__PASSWORD={world.kontist_password}")
        print("  export PIPELINES__DATA_DIR=data/served PIPELINES__VAULT_KEY=$(python -m pipelines doctor --new-vault-key)")
        print("  python -m pipelines connect kontomatik --mock && python -m pipelines run", flush=True)

    try:
        serve_forever(world, options.port, options.dialect, ready)
    except OSError as error:
        raise WrongUsage(f"Port {options.port} cannot be used ({error.strerror})", "Choose another with --port") from None
    return GOOD


def _sandbox_help(_: argparse.Namespace) -> int:
    raise WrongUsage("`sandbox` needs an action", "Use `python -m pipelines sandbox serve`")


def _doctor(_: argparse.Namespace) -> int:
    from pipelines.consents.registry import new_key

    print(new_key())
    return GOOD


def _settings(options: argparse.Namespace) -> Any:
    from pipelines.settings import load_settings

    return load_settings(data_dir=getattr(options, "data_dir", None))


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", default=False, help="one JSON object on standard output")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date of the form YYYY-MM-DD") from None


def _tell(options: argparse.Namespace, sentence: str, status: int) -> None:
    print(sentence, file=sys.stderr)
    if getattr(options, "json", False):
        print(
            json.dumps(
                {"status": "checks_failed" if status == CHECKS_FAILED else "failed", "error": sentence, "exit_status": status}
            )
        )


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


@contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Any]:
    """Progress bars on standard error, for a person who is watching."""
    from pipelines.run import Progress

    if options.json or not sys.stderr.isatty():
        yield Progress()
        return
    from pipelines.watching import Bars

    with Bars() as bars:
        yield bars
