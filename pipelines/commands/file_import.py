"""The command `import`: files of account statements come into the ledger, are listed, assigned, taken back, and erased."""

import argparse
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.commands.cell_change import changing, keeper_of, refuse_outside_cells
from pipelines.commands.terminal import console, data_of, print_as_json, print_json, say, say_all, settings_of, tell
from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from pipelines.run.file_import import Imported

UNDO = "`python -m pipelines import --undo {}` takes it back."


def import_files(options: argparse.Namespace) -> int:
    """Runs `import FILE…`, `import --list`, `import --undo ID`, `import --erase ID` and `import --assign ACCOUNT`."""
    if sum(map(bool, (options.files, options.list, options.undo, options.erase, options.assign))) != 1:
        raise WrongUsage(
            "`import` takes files, --list, --undo ID, --erase ID or --assign ACCOUNT",
            "`import FILE --account ACCOUNT` imports a file",
        )
    if options.erase:
        return _erase(options)
    if options.list:
        return _list(options)
    if options.assign:
        return _assign(options)
    if options.undo:
        return _undo(options)
    return _import(options)


def _import(options: argparse.Namespace) -> int:
    from pipelines.read.options import utc_now
    from pipelines.run.file_import import Wanted, import_files, mapping_in, read
    from sources.files.csv_rows import Period
    from sources.files.detection import Hints

    if options.new and (options.account or not options.name):
        raise WrongUsage("--new makes an account, and needs the name of its bank", "Give --new --name BANK without --account")
    if options.name and not options.new:
        raise WrongUsage("--name is of a new account", "Give --new with it, or leave it out")
    settings = settings_of(options)
    wanted = Wanted(
        account=options.account,
        new=options.name,
        currency=options.currency,
        accept_differences=options.accept_differences,
        dry_run=options.dry_run,
    )
    mapping = None if options.mapping is None else mapping_in(options.mapping)
    given = read(options.files, Hints(options.encoding, mapping, Period(options.first, options.last)))
    with changing(settings, "import", patience=options.wait):
        done = import_files(settings, given, wanted, utc_now())
    if options.json:
        print_json({"dry_run": options.dry_run, "files": [_as_json(one, dry_run=options.dry_run) for one in done]})
    else:
        tell(options, *(sentence for one in done for sentence in _sentences(one, dry_run=options.dry_run)))
    return GOOD


def _as_json(one: "Imported", *, dry_run: bool) -> dict[str, Any]:
    money_in, money_out = one.money
    return {
        "file": one.name,
        "format": one.form,
        "account": one.account_id,
        "status": "known" if one.is_known else "read" if dry_run else "imported",
        "file_id": None if dry_run else one.file_id,
        "entries": len(one.entries),
        "money_in": str(money_in),
        "money_out": str(money_out),
        "statements": [
            {
                "from": part.first,
                "to": part.last,
                "opening_balance": _text(part.opening),
                "closing_balance": _text(part.closing),
                "entries": len(part.entries),
            }
            for part in one.statements
        ],
        "notes": one.notes,
    }


def _sentences(one: "Imported", *, dry_run: bool) -> list[str]:
    if one.is_known:
        return [f"{one.name} was imported before: nothing was changed.", *(f"- {note}" for note in one.notes)]
    (money_in, money_out), days = one.money, [day for part in one.statements for day in (part.first, part.last)]
    held = (
        f"{counted(len(one.statements), 'statement')} of {one.account} in {one.form}, {min(days)} to {max(days)}:"
        f" {len(one.entries):,} entries, {money_in:,.2f} in, {money_out:,.2f} out"
    )
    notes = [f"- {note}" for note in one.notes]
    if dry_run:
        return [f"{one.name} can be imported: {held}. Nothing was changed.", *notes]
    return [f"Imported {one.name} as {one.file_id}: {held}. {UNDO.format(one.file_id)}", *notes]


def _undo(options: argparse.Namespace) -> int:
    from pipelines.read.options import utc_now
    from pipelines.run.file_import import undo

    settings = data_of(options)
    with changing(settings, "import", patience=options.wait):
        taken, notes = undo(settings, options.undo, utc_now())
    if options.json:
        print_json({"undone": [one.file_id for one in taken], "notes": notes})
        return GOOD
    already = sorted(set(options.undo) - {one.file_id for one in taken})
    tell(
        options,
        *(f"Took back {one.file_id} ({one.name}). Import the file again to have it back." for one in taken),
        *(f"{file_id} was taken back before: nothing was changed." for file_id in already),
        *notes,
    )
    return GOOD


def _erase(options: argparse.Namespace) -> int:
    from pipelines.read.options import utc_now
    from pipelines.run import file_erasure
    from pipelines.store.lock import held

    settings = data_of(options)
    refuse_outside_cells(settings, "import --erase")
    _surely(options)
    with held(settings.data_dir, "erase", options.wait), keeper_of(settings) as keeper:
        receipt = file_erasure.erase(settings, options.erase, options.reason, utc_now, keeper)
    if options.json:
        print_as_json(receipt.read_text(encoding="utf-8"))
    else:
        say_all(receipt.with_suffix(".txt").read_text(encoding="utf-8"))
        say(f"Kept as {receipt}.")
    return GOOD


def _surely(options: argparse.Namespace) -> None:
    """Asks a person whether to erase for good. Raises `Failure` when the answer is no, `WrongUsage` when nobody can be asked."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(
            "Nobody can be asked whether to erase, and --yes is not given; nothing was changed",
            "Run it at a terminal, or give --yes",
        )
    say(f"This removes for good what was imported as {', '.join(options.erase)}. Go on? [y/N] ", error=True, end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("Nothing was erased", "Run it again and answer y, or give --yes")


def _assign(options: argparse.Namespace) -> int:
    from pipelines.read.options import utc_now
    from pipelines.run.account_joins import assign, sentences

    if options.account is None:
        raise WrongUsage("--assign needs the account that it is", "Name it: --assign ACCOUNT --account ACCOUNT")
    settings = data_of(options)
    with changing(settings, "import", patience=options.wait):
        done = assign(settings, options.assign, options.account, utc_now(), accept_differences=options.accept_differences)
    if options.json:
        print_json(
            {"assigned": done.account.account_id, "account": done.target.account_id, "files": done.files, "notes": done.notes}
        )
    else:
        tell(options, *sentences([done]))
    return GOOD


def _list(options: argparse.Namespace) -> int:
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.store.sql import rows_of
    from pipelines.text import tables

    settings = data_of(options)
    with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        found = rows_of(
            connection,
            "select imported_files.*, display_name from imported_files join accounts using (account_id) order by imported_at",
        )
    if options.json:
        print_json({"files": [{name: _text(value) for name, value in row.items()} for row in found]})
    elif not found:
        say("No file was imported so far.")
    else:
        headings = ("id", "file", "account", "from", "to", "entries", "of the bank, too", "imported", "taken back")
        rows = [
            (
                row["file_id"],
                row["name"],
                row["display_name"],
                str(row["first_on"]),
                str(row["last_on"]),
                f"{row['entries']:,}",
                f"{row['shown_by_bank']:,}",
                f"{row['imported_at']:%Y-%m-%d}",
                "" if row["undone_at"] is None else f"{row['undone_at']:%Y-%m-%d}",
            )
            for row in found
        ]
        tables.show(console(), "Imported files", headings, rows)
    return GOOD


def _text(value: object) -> object:
    """Returns a value as JSON holds it: money and moments as text."""
    return str(value) if isinstance(value, Decimal | datetime) else value
