"""Erases imported files, and accounts that are known from files only: no byte of their rows stays, and a receipt says so.

`import --undo` keeps the rows on record; this removes them. Every step may be repeated: after a crash the same command, with the
same names, ends it. A backup that is restored later is without the files that a receipt names.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, vault_of
from pipelines.consents.closing_trail import ClosingTrail
from pipelines.consents.consent_rows import write_anew
from pipelines.consents.erase import BESIDE, OUTSIDE
from pipelines.consents.user import user
from pipelines.errors import Failure, WrongUsage
from pipelines.report_page.page_options import wanted_page
from pipelines.run.file_accounts import known_accounts
from pipelines.settings import Settings
from pipelines.store import files, leftovers
from pipelines.store.atomic_files import replace_text
from pipelines.store.ledger import build_and_publish
from pipelines.store.ledger_reader import LISTS_ACCOUNTS
from pipelines.store.losses import histories_of, missing_raw, refuse
from pipelines.store.private import EXPORT, HISTORY
from pipelines.store.read_only import read_only

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.raw_copy import HistoryKeeper

NO_REASON = "none was given"


@dataclass(kw_only=True)
class FileReceipt:
    """The proof that files were erased. It names no person, account or amount; the ids of files are random."""

    files: list[str]
    reason: str
    erased_by: str
    version: str
    erased_at: str = ""
    accounts_removed: int = 0
    rows_removed: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Returns the receipt as text."""
        rows = "\n".join(f"  {table}: {count}" for table, count in sorted(self.rows_removed.items()))
        kept, steps = ("\n".join(f"  - {one}" for one in part) for part in (self.kept, self.steps))
        return (
            f"Receipt of erasure\n\nImported files {', '.join(self.files)}\nReason: {self.reason}\n"
            f"Erased: {self.erased_at} by {self.erased_by}, kontoledger {self.version}\n"
            f"Accounts removed: {self.accounts_removed}\n\n"
            f"Rows removed per table:\n{rows or '  none'}\n\nDone:\n{steps}\n\nKept, and why:\n{kept}\n"
        )


@dataclass(frozen=True)
class Plan:
    """The scope of an erasure: files, and the accounts that only they show."""

    file_ids: list[str]
    accounts: list[str]
    rows_removed: dict[str, int]
    """By table, where an earlier try was stopped after it had removed them."""


def erase(
    settings: Settings,
    names: Sequence[str],
    reason: str | None,
    now: Callable[[], datetime],
    keeper: "HistoryKeeper | None" = None,
) -> Path:
    """Removes files for good, named by their ids or by an account that only files show; returns the receipt's path.

    Files that were erased before have their receipt already. The caller holds the lock. Raises `WrongUsage` for an unknown
    name, `Failure` where a closed month holds entries of a file.
    """
    data_dir, receipts = settings.data_dir, settings.data_dir / "receipts"
    refuse(missing_raw(data_dir))
    try:
        plan = planned(data_dir, names)
    except WrongUsage:
        if done := _receipt_of(receipts, names):
            return done
        raise
    key = hashlib.sha256(" ".join(plan.file_ids).encode()).hexdigest()[:12]
    begun, path = receipts / f"erasing-files-{key}.json", receipts / f"erased-files-{key}.json"
    receipt = FileReceipt(
        files=plan.file_ids,
        reason=reason or NO_REASON,
        erased_by=user(),
        version=version("kontoledger"),
        accounts_removed=len(plan.accounts),
        rows_removed=plan.rows_removed,
    )

    def begin(removed: dict[str, int]) -> None:
        receipts.mkdir(mode=0o700, exist_ok=True)
        receipt.rows_removed = removed or receipt.rows_removed
        replace_text(begun, _json({"names": list(names), **asdict(plan), "rows_removed": receipt.rows_removed}))

    leftovers.remove(data_dir)
    write_anew(data_dir, lambda history: files.erase(history.connection, plan.file_ids), begin)
    receipt.steps.append("raw history was written anew without these rows; the file before it was removed")
    built = build_and_publish(data_dir, memory=settings.memory_limit, page=wanted_page(settings))
    receipt.steps.append(f"the ledger was built anew and passed {len(built.checks)} checks")
    if keeper is not None:
        keeper.keep(erasing=True)
        receipt.steps.append("older copies of raw history in the fleet's store were removed, if there were any")
        receipt.kept.append("copies on other machines of the fleet: each removes its own at its next `fleet run`")
        if settings.fleet.lake:
            receipt.kept.append("its rows in the lake, with older snapshots and files: the next `fleet publish` removes them")
    for name in ("run.last.json", HISTORY):
        (data_dir / name).unlink(missing_ok=True)
    if exported := leftovers.remove_exports(data_dir):
        receipt.steps.append(f"{exported} exported files in {EXPORT}/ were removed: `export` writes them anew")
    if has_vault(settings):
        with vault_of(settings) as vault:
            for history_id in histories_of(data_dir):
                ClosingTrail(vault.database, history_id).forget(plan.accounts, now(), vault.who)
    receipt.erased_at = now().isoformat(timespec="seconds")
    receipt.kept += [f"{name}/: {why}" for name, why in BESIDE.items() if _holds_something(data_dir / name)]
    receipt.kept += ["the files themselves, wherever they are: the program keeps no copy", OUTSIDE]
    replace_text(path.with_suffix(".txt"), receipt.text())
    replace_text(path, _json(asdict(receipt)))
    begun.unlink(missing_ok=True)
    return path


def planned(data_dir: Path, names: Sequence[str]) -> Plan:
    """Returns what these names mean, also where an earlier try with the same names was stopped. Raises as `erase` does."""
    for begun in sorted((data_dir / "receipts").glob("erasing-files-*.json")):
        found = json.loads(begun.read_text(encoding="utf-8"))
        if found["names"] == list(names):
            return Plan(found["file_ids"], found["accounts"], found["rows_removed"])
    if not (data_dir / "raw.duckdb").exists():
        raise WrongUsage("No file was imported so far", "")
    with read_only(data_dir / "raw.duckdb") as connection:
        connection.execute("set TimeZone = 'UTC'")
        file_ids = _files(connection, names)
        accounts = files.accounts_of_only(connection, file_ids)
        if closed := files.closed_of_files(connection, file_ids):
            account_id, month = closed[0]
            raise Failure(
                f"The closed month {month:%Y-%m} of {account_id} holds entries of these files: nothing was erased",
                f"Reopen it first: `python -m pipelines reopen --month {month:%Y-%m} --account {account_id} --reason TEXT`",
            )
    return Plan(file_ids, accounts, {})


def _files(connection: "DuckDBPyConnection", names: Sequence[str]) -> list[str]:
    import duckdb

    try:
        stored, known = files.stored(connection), known_accounts(connection)
    except duckdb.CatalogException:  # no file was ever imported
        stored, known = [], []
    of_files = {one.account_id for one in known if one.source == files.FILE}
    found: set[str] = set()
    for name in names:
        mine = {one.file_id for one in stored if name == one.file_id or (name == one.account_id and name in of_files)}
        if not mine:
            raise WrongUsage(
                f"No imported file has the id {name}, and no account that is known from files only",
                f"`python -m pipelines import --list` lists the files, {LISTS_ACCOUNTS} the accounts;"
                " of a bank's account: `consents erase`",
            )
        found |= mine
    return sorted(found)


def _receipt_of(receipts: Path, names: Sequence[str]) -> Path | None:
    """Returns the receipt that names all of these files."""
    return next((path for path, erased in _receipts(receipts) if erased >= set(names)), None)


def _receipts(receipts: Path) -> Iterator[tuple[Path, set[str]]]:
    for path in sorted(receipts.glob("erased-files-*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # a receipt that somebody has changed
            yield path, set(json.loads(path.read_text(encoding="utf-8"))["files"])


def remove_erased_again(data_dir: Path, receipts: Path) -> list[str]:
    """Removes from an older raw history the files that receipts say are erased; returns those that were there."""
    import duckdb

    erased = {file_id for _, file_ids in _receipts(receipts) for file_id in file_ids}
    if not erased or not (data_dir / "raw.duckdb").exists():
        return []
    with read_only(data_dir / "raw.duckdb") as connection:
        try:
            there = sorted({one.file_id for one in files.stored(connection)} & erased)
        except duckdb.CatalogException:
            return []
    if there:
        write_anew(data_dir, lambda history: files.erase(history.connection, there), lambda _: None)
    return there


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
