"""The command line. It parses, calls, prints and exits; what a command does is elsewhere, and imported only when it runs."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pipelines.commands.option_types import age, count, country, day, hours, locale, port, reason
from pipelines.commands.stop import SENTENCE, Stop
from pipelines.commands.streams import OutputLost, Streams
from pipelines.commands.terminal import print_error
from pipelines.errors import FAILED, GOOD, INTERRUPTED, Failure

SOURCES = ("kontomatik", "kontist")  # as `store.banks` has them, whose import would make each --help wait
EXAMPLES = """\
examples:
  python -m pipelines run --sandbox             try it: no bank, no credentials
  python -m pipelines run                       read every configured bank, publish the ledger
  python -m pipelines run --source kontist      one bank only
  python -m pipelines run --since 2026-01-01    read again from a day
  python -m pipelines status                    how fresh each account is, days left of each consent
  python -m pipelines status --max-age 13       for a monitor: ends with 4 when an account is older or a consent has ended

exit status: 0 good · 1 failed, nothing new published · 2 wrong usage or configuration · 3 a check failed, the ledger
published before stays · 4 published, but something could not be read (it is named) · 130 interrupted · 141 the program that
read the output has ended (`| head`)
"""


INTERVALS = ("MONTHLY", "QUARTERLY", "EVERY_SIX_MONTHS", "ANNUALLY")
"""How often a standing order may be paid (vendor document)."""


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
            from pipelines.errors import unexpected

            sentence, status = unexpected(error), FAILED
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


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command and option."""
    anywhere = argparse.ArgumentParser(add_help=False)
    anywhere.add_argument(
        "--data-dir",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="where data is kept (default: `pipelines.data_dir` of the settings, else `data`; the sandbox's: data/sandbox)",
    )
    top = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Reads bank accounts through Kontomatik and Kontist into one checked DuckDB ledger.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[anywhere],
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: str, about: str, to: Any = None) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = (to or commands).add_parser(name, help=about, description=about, parents=[anywhere])
        added.set_defaults(command=_lazily(does), json=False)
        return added

    _data_commands(command)
    _consent_commands(command)
    _payment_commands(command)
    _asking_commands(command)
    return top


def _data_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    run = command("run", "commands.run.run", "extract, load, build the ledger, check it, publish it")
    _sources(run)
    run.add_argument("--since", type=day, metavar="DATE", help="read again from this day (YYYY-MM-DD)")
    run.add_argument("--full-refresh", action="store_true", help="read all that the banks still show; overrides --since")
    run.add_argument(
        *("--accept-removals", "--accept-changes"),
        action="append",
        default=[],
        metavar="ACCOUNT_ID",
        help="accept what is held for confirmation of this account: rows that its bank removed or changed",
    )
    run.add_argument(
        "--due-hours", type=hours, metavar="N", help="Kontomatik: only consents whose last import is at least N hours ago"
    )
    run.add_argument("--reserve", type=count, default=0, metavar="N", help="reserve N imports per account for manual use")
    _waiting(run)
    _start_new(run)
    run.add_argument("--sandbox", action="store_true", help="read the built-in sandbox bank, into a data directory of its own")
    _json(run)
    backfill = command(
        "backfill", "commands.run.backfill", "read older days; name each account whose bank does not show them (status 4)"
    )
    backfill.add_argument("--since", type=day, required=True, metavar="DATE", help="first day to read (YYYY-MM-DD)")
    _sources(backfill)
    _waiting(backfill)
    _json(backfill)
    status = command("status", "commands.questions.status", "freshness per account, consents, quota, last run and checks")
    status.add_argument(
        "--max-age",
        type=age,
        metavar="HOURS",
        help="end with 4 when an account that should be read is older than this, or a consent has ended",
    )
    form = status.add_mutually_exclusive_group()
    form.add_argument(
        "--openmetrics",
        nargs="?",
        type=Path,
        const=Path("-"),
        metavar="FILE",
        help="OpenMetrics text for a monitor, on standard output or put into FILE as a whole",
    )
    _json(form)
    _json(command("transform", "commands.run.transform", "rebuild the ledger from raw history, without network"))
    _json(command("check", "commands.run.check", "check the published ledger against raw history again, without network"))

    catalog = command(
        "catalog", "commands.reference_data.catalog", "list the banks of Kontomatik; without filters, store them in the ledger"
    )
    catalog.add_argument("--country", metavar="C", help="two letters, e.g. pl")
    catalog.add_argument("--access-mode", choices=("SINGLE", "MULTIPLE", "MIXED"))
    _json(catalog)

    backup = command(
        "backup", "commands.backup.backup", "copy raw history, vault, receipts and seeds into a new folder, with checksums"
    )
    backup.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet, on another disk")
    backup.add_argument(
        "--wait", type=count, default=0, metavar="SECONDS", help="how long to wait for a run that is at work (default 0)"
    )
    _json(backup)
    restore = command(
        "restore", "commands.backup.restore", "bring back a backup, or the raw history before the last run; asks first"
    )
    restore.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a folder that `backup` wrote")
    restore.add_argument("--previous", action="store_true", help="the raw history before the last run; a second time undoes it")
    restore.add_argument("--check", action="store_true", help="change nothing: test checksums and vault key, check a ledger")
    restore.add_argument("--yes", action="store_true", help="do not ask; without a terminal it has to be given")
    _json(restore)

    doctor = command(
        "doctor", "commands.questions.doctor", "what is wrong with configuration, network, clock or files, and how to fix it"
    )
    doctor.add_argument("--new-vault-key", action="store_true", help="print a fresh vault key and do nothing else")
    _json(doctor)

    notify = command("notify", "commands.notify.notify", "send the pending notifications (every run does so, too)")
    notify.add_argument("--test", action="store_true", help="send a test message to every notification channel")
    _json(notify)

    actions = command("sandbox", "commands.sandbox.sandbox_help", "the sandbox bank").add_subparsers(metavar="ACTION")
    serve = command("serve", "commands.sandbox.sandbox_serve", "run the sandbox bank as a server of its own", actions)
    serve.add_argument("--port", type=port, default=8711, help="port on 127.0.0.1 (default 8711)")
    serve.add_argument("--dialect", choices=("openapi", "live"), default="openapi", help="API dialect that its Kontomatik serves")
    serve.add_argument("--seed", type=int, default=7, help="random seed of the generated data")


def _asking_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    prove = command(
        "prove",
        "commands.questions.prove",
        "reconciliation report of an account: which days were read and reconciled, and what is missing (status 3)",
    )
    prove.add_argument("account", metavar="ACCOUNT", help="its id, or the last characters of its IBAN")
    prove.add_argument("--from", dest="first", type=day, required=True, metavar="DATE", help="first day (YYYY-MM-DD)")
    prove.add_argument("--to", dest="last", type=day, required=True, metavar="DATE", help="last day")
    _json(prove)
    owners = command("owners", "commands.questions.owners", "list the owners of the accounts that Kontomatik reads")
    owners.add_argument("--reveal", action="store_true", help="show national ids that are kept; the audit trail records it")
    _json(owners)
    explain = command("explain", "commands.questions.explain", "where a transaction came from: versions, imports, loads, rules")
    explain.add_argument("transaction_id", metavar="TRANSACTION_ID")
    explain.add_argument("--ask-bank", action="store_true", help="also request it from Kontist and compare it")
    _json(explain)
    export = command("export", "commands.questions.export", "copy the ledger to files for other programs")
    export.add_argument("--format", choices=("csv", "parquet", "beancount"), required=True)
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (default: `export` in the data directory)")
    _json(export)
    rates = command(
        "rates",
        "commands.reference_data.rates",
        "load reference rates of the European Central Bank (CSV); the ledger converts amounts by them",
    )
    rates.add_argument("--file", type=Path, metavar="PATH")
    rates.add_argument("--url", metavar="URL", help="https address of such a file")
    _json(rates)


def _consent_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    connect = command("connect", "commands.consents.connect", "connect a bank and import at once; kontist: log in once")
    connect.add_argument("source", choices=SOURCES)
    connect.add_argument("--email", help="for kontist; the password is asked for or piped in, and not kept")
    connect.add_argument("--target", metavar="T", help="the bank, as the catalog names it")
    connect.add_argument("--access-mode", choices=("SINGLE", "MULTIPLE", "MIXED"), default="MULTIPLE")
    connect.add_argument(
        "--since", type=day, metavar="DATE", help="for kontomatik: first day to import (default: all that the bank shows)"
    )
    connect.add_argument("--mock", action="store_true", help="use a mock session at Kontomatik's test bank")
    connect.add_argument("--login", metavar="L", help="with --mock: the test customer (default test1; live dialect)")
    _start_new(connect)
    _signing_in(connect)
    _json(connect)

    disconnect = command("disconnect", "commands.login.disconnect", "end the login at Kontist")
    disconnect.add_argument("source", choices=("kontist",))
    _json(disconnect)

    consents = command("consents", "commands.consents.show_list", "list consents, add, renew, revoke or erase one")
    actions = consents.add_subparsers(metavar="ACTION")
    _json(consents)
    _json(command("list", "commands.consents.show_list", "every consent with its days left (no token, ever)", actions))
    add = command("add", "commands.consents.add", "store a consent whose token is on standard input", actions)
    add.add_argument("source", choices=SOURCES, help="for kontist the token is a refresh token")
    add.add_argument("--institution", help="for kontomatik: the bank's name (default: from the first import)")
    add.add_argument("--target", help="the bank's target name, if known")
    add.add_argument("--access-mode", choices=("MULTIPLE", "MIXED"), default="MULTIPLE")
    add.add_argument("--signed-in", type=day, metavar="DATE", help="day of the sign-in, the first of 180 days (default today)")
    renew = command("renew", "commands.consents.renew", "sign in again; the old consent works until the new one does", actions)
    renew.add_argument("consent_id", metavar="ID")
    renew.add_argument("--target", metavar="T", help="the bank's target, if it has changed")
    _signing_in(renew)
    _json(renew)
    for name, about in (
        ("revoke", "end a consent at the bank; done when the bank has confirmed it"),
        ("erase", "revoke a consent, then remove for good the data that only it brought; writes a receipt"),
    ):
        one = command(name, f"commands.consents.{name}", about, actions)
        one.add_argument("consent_id", metavar="ID")
        _json(one)
        if name == "erase":
            one.add_argument("--yes", action="store_true", help="do not ask; without a terminal it has to be given")
            one.add_argument("--reason", type=reason, metavar="TEXT", help="why, for receipt and audit trail; name no customer")
            one.add_argument("--cancel", action="store_true", help="withdraw a pending erasure")
    _json(command("tend", "commands.consents.maintain", "warn, expire, finish revocations and erasures", actions))
    command(
        "rotate-key",
        "commands.consents.rotate_key",
        "re-encrypt the vault with a new key (pipelines.vault_key = NEW,OLD)",
        actions,
    )
    trail = command("trail", "commands.consents.trail", "who did what to a consent, when, and with what result", actions)
    trail.add_argument("consent_id", metavar="ID", nargs="?")
    _json(trail)


def _payment_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    pay = command("pay", "pay.commands.usage", "pay from Kontist, with a person and a TAN (switched off unless allowed)")
    kinds = pay.add_subparsers(metavar="WHAT")
    transfer = command("transfer", "pay.commands.transfer", "a SEPA transfer, now", kinds)
    _recipient(transfer)
    standing = command("standing-order", "pay.commands.usage", "a recurring payment", kinds)
    actions = standing.add_subparsers(metavar="ACTION")
    create = command("create", "pay.commands.standing_order", "a new standing order", actions)
    _recipient(create)
    create.add_argument("--every", choices=INTERVALS, required=True, help="how often it is paid")
    create.add_argument("--first", type=day, required=True, metavar="DATE", help="day of the first payment")
    create.add_argument("--last", type=day, metavar="DATE", help="no payment after this day (default: no end)")
    change = command("change", "pay.commands.change_standing_order", "change an active standing order", actions)
    _existing(change)
    change.add_argument("--amount", metavar="EUR", help="like 12.50")
    note = change.add_mutually_exclusive_group()
    note.add_argument("--note", metavar="TEXT")
    note.add_argument("--no-note", action="store_true", help="remove the note")
    change.add_argument("--reference", metavar="TEXT", help="end-to-end reference")
    change.add_argument("--every", choices=INTERVALS)
    end = change.add_mutually_exclusive_group()
    end.add_argument("--last", type=day, metavar="DATE", help="no payment after this day")
    end.add_argument("--no-end", action="store_true", help="remove the last day: it is paid until it is cancelled")
    _existing(command("cancel", "pay.commands.cancel_standing_order", "end a standing order", actions))
    timed = command("timed-order", "pay.commands.usage", "a transfer on a day to come", kinds)
    actions = timed.add_subparsers(metavar="ACTION")
    create = command("create", "pay.commands.timed_order", "a new timed order", actions)
    _recipient(create)
    create.add_argument("--on", type=day, required=True, metavar="DATE", help="day of the payment")
    _existing(command("cancel", "pay.commands.cancel_timed_order", "cancel a timed order", actions))
    _json(command("trail", "pay.commands.trail", "who paid what, when, and with what result", kinds))


def _recipient(command: argparse.ArgumentParser) -> None:
    command.add_argument("--to", required=True, metavar="NAME", help="who is paid")
    command.add_argument("--iban", required=True, help="the recipient's IBAN; its check digits are checked")
    command.add_argument("--amount", required=True, metavar="EUR", help="like 12.50")
    command.add_argument("--note", metavar="TEXT", help="what it is for")
    command.add_argument("--reference", metavar="TEXT", help="end-to-end reference, e.g. an invoice number")
    _payer(command)


def _existing(command: argparse.ArgumentParser) -> None:
    command.add_argument("order_id", metavar="ID", help="`order_id` in the ledger's table of these orders")
    _payer(command)


def _payer(command: argparse.ArgumentParser) -> None:
    command.add_argument("--from", dest="account", metavar="ACCOUNT", help="the account that pays, e.g. the end of its IBAN")


def _signing_in(command: argparse.ArgumentParser) -> None:
    command.add_argument("--owner-external-id", metavar="X", help="your own name for the customer")
    command.add_argument("--redirect-url", metavar="U", help="where the bank sends the customer afterwards")
    command.add_argument(
        "--country", type=country, metavar="CC", help="country of the banks to choose from, e.g. pl (live dialect)"
    )
    command.add_argument("--locale", type=locale, metavar="LL", help="language of the sign-in page (default en; live dialect)")
    command.add_argument("--open", action="store_true", help="open the bank's link in a browser")
    command.add_argument(
        "--wait", type=count, default=600, metavar="SECONDS", help="how long to wait for the sign-in (default 600)"
    )


def _sources(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", action="append", choices=SOURCES, default=[], help="only this bank")


def _waiting(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait", type=count, default=0, metavar="SECONDS", help="how long to wait for a run that is at work (default 0)"
    )


def _start_new(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--start-new",
        action="store_true",
        default=False,
        help="make a missing raw history, vault or ledger anew; keep those that are there, even if they belong elsewhere",
    )


def _json(command: argparse._ActionsContainer) -> None:
    command.add_argument("--json", action="store_true", default=False, help="one JSON object on standard output")


def _lazily(dotted: str) -> Callable[[argparse.Namespace], int]:
    """Returns a command's function, which is imported when it is called."""

    def call(options: argparse.Namespace) -> int:
        module, _, name = dotted.rpartition(".")
        status: int = getattr(import_module(f"pipelines.{module}"), name)(options)
        return status

    return call
