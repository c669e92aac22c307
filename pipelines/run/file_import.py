"""Imports files of account statements into raw history, and takes them back; publishes the ledger with the change."""

import hashlib
import secrets
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipelines.errors import Failure, WrongUsage
from pipelines.report_page.page_options import wanted_page
from pipelines.run import closed_changes
from pipelines.run.account_joins import join_connected, sentences
from pipelines.run.bank_days import compare
from pipelines.run.file_accounts import Known, in_its_currency, is_one_account, known_accounts, named, new_account, of_the_file
from pipelines.settings import Settings
from pipelines.store import files as store
from pipelines.store.ledger import build_and_publish, is_behind
from pipelines.store.load import create_tables
from pipelines.store.raw_copy import opened
from sources._identity import normal_iban, tail
from sources.files import detection
from sources.files.csv_rows import CsvMapping, mapping_of
from sources.files.detection import Hints
from sources.files.statements import ONE_DAY, Statement, joined, stretches
from sources.files.values import Document, Entry, FileRefused, Page

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CLOCK = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The options of an import."""

    account: str | None = None
    """An account of raw history; None: the one whose number the file has."""
    new: str | None = None
    """The name of a bank that is not connected: its account is made."""
    currency: str | None = None
    accept_differences: bool = False
    """Whether the bank's rows may count where both show a day and differ."""
    dry_run: bool = False


@dataclass(frozen=True)
class Given:
    """A file, read."""

    path: Path
    sha256: str
    size: int
    document: Document


@dataclass
class Imported:
    """The result of one file."""

    name: str
    form: str
    account_id: str
    account: str
    file_id: str | None
    """None: nothing was stored."""
    statements: list[Statement]
    is_known: bool = False
    """Whether the same file was imported before."""
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """Returns its booked entries."""
        return [entry for one in self.statements for entry in one.entries]

    @property
    def money(self) -> tuple[Decimal, Decimal]:
        """Returns money in and money out, the second negative."""
        amounts = [one.amount for one in self.entries]
        zero = Decimal(0)
        return sum((one for one in amounts if one > 0), zero), sum((one for one in amounts if one < 0), zero)


def mapping_in(path: Path) -> CsvMapping:
    """Returns the mapping of a CSV file. Raises `Failure`."""
    try:
        return mapping_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(
            f"The mapping {path.name} cannot be read ({type(error).__name__})", "Name a TOML file in UTF-8"
        ) from None
    except FileRefused as refused:
        raise WrongUsage(refused.cause, refused.next_step) from None


def read(paths: Iterable[Path], hints: Hints) -> list[Given]:
    """Reads files by their content. Raises `Failure` that names the file."""
    found: list[Given] = []
    for path in paths:
        try:
            content = detection.content_of(path)
            document = detection.read(content, hints)
        except FileRefused as refused:
            raise _refused(path, refused) from None
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in {one.sha256 for one in found}:
            found.append(Given(path, sha256, len(content), document))
    return found


def import_files(settings: Settings, given: Sequence[Given], wanted: Wanted, now: datetime) -> list[Imported]:
    """Stores files in raw history and publishes the ledger with them; the caller holds the lock.

    All of them or, where one is refused, none. Raises `Failure`.
    """
    with opened(settings.data_dir, memory=settings.memory_limit) as (history, publish):
        create_tables(history)
        joins = join_connected(history.connection, now)
        done = [imported for one in given for imported in _import(history.connection, one, wanted, now)]
        done[0].notes += sentences(joins)
        changed = (joins or any(one.file_id for one in done)) and not wanted.dry_run
        if changed:
            publish()
    if changed or (is_behind(settings.data_dir) and not wanted.dry_run):
        try:
            done[0].notes += _published(settings)
        except Failure as failure:
            if stored := " ".join(f"--undo {one.file_id}" for one in done if one.file_id):
                failure.also(f"Raw history has what was imported; `python -m pipelines import {stored}` takes it back")
            raise
    return done


def _published(settings: Settings, *, keep_unchanged: bool = True) -> list[str]:
    """Publishes the ledger of raw history; returns a sentence for each closed month that is not as it was any more."""
    ledger = settings.data_dir / "ledger.duckdb"
    before = set(closed_changes.closed_changes(ledger))
    build_and_publish(settings.data_dir, memory=settings.memory_limit, keep_unchanged=keep_unchanged, page=wanted_page(settings))
    return closed_changes.sentences(one for one in closed_changes.closed_changes(ledger) if one not in before)


def undo(settings: Settings, file_ids: Sequence[str], now: datetime) -> tuple[list[store.StoredFile], list[str]]:
    """Takes files back and publishes the ledger without them; returns the files, and notes on closed months.

    The caller holds the lock. Raises `WrongUsage`.
    """
    with opened(settings.data_dir, memory=settings.memory_limit) as (history, publish):
        create_tables(history)
        known = {one.file_id: one for one in store.stored(history.connection)}
        for file_id in file_ids:
            if file_id not in known:
                raise WrongUsage(f"No imported file has the id {file_id}", "`python -m pipelines import --list` lists them")
        counting = [file_id for file_id in file_ids if known[file_id].undone_at is None]
        if counting:
            store.take_back(history.connection, counting, now)
            publish()
    notes = list[str]()
    if counting or is_behind(settings.data_dir):
        # the whole ledger: a copy of the last file may hold blocks with rows that were taken back
        notes = _published(settings, keep_unchanged=False)
    return [known[file_id] for file_id in counting], notes


def _import(connection: "DuckDBPyConnection", given: Given, wanted: Wanted, now: datetime) -> list[Imported]:
    """Stores one file in the copy: its statements of each account that they are of."""
    done = []
    for found, pages, notes in _accounts(connection, given, wanted):
        account = in_its_currency(found, pages[0], wanted.currency)
        try:
            imported = Imported(given.path.name, given.document.form, account.account_id, account.name, None, joined(pages))
            imported.is_known = any(
                (one.sha256, one.account_id, one.undone_at) == (given.sha256, account.account_id, None)
                for one in store.stored(connection)
            )
            if not imported.is_known:
                imported.notes += notes
                _check_days(imported.statements, now)
                _check(connection, account, given, imported, accept=wanted.accept_differences)
                imported.file_id = f"f-{secrets.token_hex(6)}"
                _store(connection, account, given, imported, now)
        except FileRefused as refused:
            raise _refused(given.path, refused) from None
        done.append(imported)
    return done


def _check(connection: "DuckDBPyConnection", account: Known, given: Given, imported: Imported, *, accept: bool) -> None:
    """Raises `FileRefused` for a file that would contradict what is known of the account, or prove it by itself."""
    if given.document.own and account.source != store.FILE:
        raise FileRefused(
            "It was exported from a ledger: its balances are no proof of the bank's account", "Import what the bank has issued"
        )
    imported.notes += compare(connection, account, _days(imported.statements), accept=accept)
    _check_balances(connection, account, imported.statements)


def _check_balances(connection: "DuckDBPyConnection", account: Known, statements: list[Statement]) -> None:
    """Raises `FileRefused` where a day ends with another balance than in an earlier file, by its balances and its entries."""
    edges = {day for one in statements for day in (one.first - ONE_DAY, one.last)}
    earlier = store.balances_of_files(connection, account.account_id, edges)
    known = sorted(earlier)
    for one in statements:
        if one.opening is None:
            continue
        entries, balance, added = sorted(one.entries, key=lambda entry: entry.booked_on), one.opening, 0
        for day in known[bisect_left(known, one.first - ONE_DAY) : bisect_right(known, one.last)]:
            while added < len(entries) and entries[added].booked_on <= day:
                balance, added = balance + entries[added].amount, added + 1
            if balance != earlier[day]:
                raise FileRefused(
                    f"{one.place} has another balance at the end of {day} than an earlier file",
                    "One of both is wrong. `import --list` names the files, `import --undo ID` takes one back",
                )


def _accounts(connection: "DuckDBPyConnection", given: Given, wanted: Wanted) -> list[tuple[Known, list[Page], list[str]]]:
    """Returns the accounts that a file is imported for, each with its pages and notes. Raises `Failure`."""
    known, pages = known_accounts(connection), given.document.pages
    if wanted.account is not None:
        account = named(known, wanted.account, otherwise=". Of a bank that is not connected: --new --name BANK")
        own = [page for page in pages if of_the_file(account, page)]
        if not own:
            shown = ", ".join(sorted({f"{tail(page.number)} {page.currency or ''}".strip() for page in pages}))
            raise Failure(
                f"{given.path.name} holds no statement of {account.name} {account.currency or ''}: it is of {shown}",
                "Name the account that it is of, or import it with --new --name BANK",
            )
        return [(account, own, _left_out(own, len(pages) - len(own)))]
    parts: dict[tuple[str | None, str | None], list[Page]] = {}
    for page in pages:
        parts.setdefault((normal_iban(page.number) or page.number, page.currency), []).append(page)
    found = []
    for own in parts.values():
        matching = [one for one in known if of_the_file(one, own[0])] if own[0].number else []
        if wanted.new is not None:
            found.append((_new(matching, own[0], wanted, known), own, _left_out(own, 0)))
        elif len(matching) == 1:
            found.append((matching[0], own, _left_out(own, 0)))
        else:
            raise WrongUsage(
                f"{given.path.name} is of account {tail(own[0].number)}, which {'several accounts' if matching else 'no account'}"
                " of the ledger can be",
                "Name one with --account; of a bank that is not connected: --new --name BANK",
            )
    return found


def _new(matching: list[Known], page: Page, wanted: Wanted, known: Sequence[Known]) -> Known:
    account = new_account(page, str(wanted.new), wanted.currency)
    if connected := [one for one in matching if one.source != store.FILE]:
        raise WrongUsage(
            f"The account {tail(page.number)} is connected already: {connected[0].name}",
            f"Import the file with --account {connected[0].account_id}",
        )
    return next((one for one in known if one.account_id == account.account_id or is_one_account(one, account)), account)


def _left_out(own: list[Page], others: int) -> list[str]:
    notes = []
    if others:
        notes.append(f"{others} statement{'s' if others > 1 else ''} of other accounts left out")
    if pending := sum(page.left_out for page in own):
        notes.append(f"{pending} entr{'ies' if pending > 1 else 'y'} left out: not booked")
    return notes


def _check_days(statements: list[Statement], now: datetime) -> None:
    covered = stretches(statements)
    if not covered:
        raise FileRefused("It covers no whole day", "Import a file with entries, or one of several days")
    today = now.astimezone(CLOCK).date()
    if covered[-1][1] >= today:
        raise FileRefused(
            f"It goes on to {covered[-1][1]}, a day that is not over", "Import a file that ends yesterday or before"
        )
    if covered[0][0] < date(1970, 1, 1):
        raise FileRefused(f"It begins on {covered[0][0]}, before 1970", "Ask the bank for the file again")


def _days(statements: list[Statement]) -> dict[date, "store.Day"]:
    """Returns every day of the statements with its amounts."""
    days: dict[date, store.Day] = {}
    for first, last in stretches(statements):
        days |= {first + timedelta(days=number): Counter() for number in range((last - first).days + 1)}
    for statement in statements:
        for entry in statement.entries:
            days[entry.booked_on][entry.amount] += 1
    return days


def _store(connection: "DuckDBPyConnection", account: Known, given: Given, imported: Imported, now: datetime) -> None:
    file_id, account_id, currency = str(imported.file_id), account.account_id, account.currency
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("files", "statements", "transactions", "imports")}
    imports = [
        (f"{file_id}-{number}", first, last) for number, (first, last) in enumerate(stretches(imported.statements), start=1)
    ]
    if account.source == store.FILE and not _stands(connection, account_id):
        number = account.number or ""
        rows["accounts"] = [
            {
                "account_id": account_id,
                "source_account_id": number,
                "account_type": "account",
                "iban": normal_iban(number),
                "institution": account.institution,
                "currency": currency,
                "import_id": imports[0][0],
            }
        ]
    for transaction_id, occurrence, entry in store.identified(account_id, imported.entries):
        import_id = next(one for one, first, last in imports if first <= entry.booked_on <= last)
        rows["transactions"].append(
            {
                "account_id": account_id,
                "transaction_id": transaction_id,
                "window_on": entry.booked_on,
                "occurrence": occurrence,
                "position_in_day": 0,
                "file_id": file_id,
                "currency": currency,
                "import_id": import_id,
                **{name: value for name, value in vars(entry).items() if name != "booked_on"},
            }
        )
    for first, last in [(one, two) for _, one, two in imports]:
        import_id = next(one for one, begin, _ in imports if begin == first)
        held = sum(first <= entry.booked_on <= last for entry in imported.entries)
        rows["imports"].append(
            {
                "import_id": import_id,
                "run_id": file_id,
                "account_id": account_id,
                "started_at": now,
                "finished_at": now,
                "as_of": datetime.combine(last + ONE_DAY, time(), CLOCK),
                "status": "complete",
                "window_start": first,
                "window_end": last,
                "rows": held,
                "new_rows": held,
                "changed_rows": 0,
                "removed_rows": 0,
                "requests": 0,
            }
        )
    rows["statements"] = [
        {
            "file_id": file_id,
            "account_id": account_id,
            "place": one.place,
            "reference": one.reference,
            "first_on": one.first,
            "last_on": one.last,
            "opening_balance": one.opening,
            "closing_balance": one.closing,
            "currency": currency,
            "entries": len(one.entries),
        }
        for one in imported.statements
    ]
    money_in, money_out = imported.money
    rows["files"] = [
        {
            "file_id": file_id,
            "account_id": account_id,
            "name": given.path.name,
            "sha256": given.sha256,
            "format": imported.form,
            "bytes": given.size,
            "entries": len(imported.entries),
            "money_in": money_in,
            "money_out": money_out,
            "imported_at": now,
        }
    ]
    store.add(connection, now, rows)


def _stands(connection: "DuckDBPyConnection", account_id: str) -> bool:
    found = connection.execute(
        "select count(*) from file.accounts where account_id = ? and _dlt_valid_to is null", [account_id]
    ).fetchone()
    return found != (0,)


def _refused(path: Path, refused: FileRefused) -> Failure:
    return Failure(f"{path.name} was not imported. {refused.cause}", refused.next_step)
