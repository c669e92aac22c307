"""Findings of `doctor` about imported files: their number, accounts without newer statements, accounts that exist twice."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.questions.finding import Finding
from pipelines.run.account_joins import connected_since, shown_by_banks
from pipelines.run.file_accounts import Known, known_accounts
from pipelines.settings import Settings
from pipelines.store.banks import banks_day
from pipelines.store.files import FILE, last_days, stored
from pipelines.store.read_only import read_only
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from datetime import date

OLD = timedelta(days=62)
"""Statements come by the month: after two of them the next one is missing."""


def look(settings: Settings, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Yields findings about the files of raw history; none if no file was imported, or if raw history has its own finding."""
    import duckdb

    raw = settings.data_dir / "raw.duckdb"
    if not raw.exists():
        return
    try:
        with read_only(raw) as connection:
            connection.execute("set TimeZone = 'UTC'")
            files, accounts, last = stored(connection), known_accounts(connection), last_days(connection)
    except duckdb.Error:  # an earlier version wrote it, without files, or it is damaged
        return
    counting = [one for one in files if one.undone_at is None]
    if not counting:
        return
    alone = [one for one in accounts if one.source == FILE and one.account_id in last]
    yield Finding(
        "imported files",
        "fine",
        f"{counted(len(counting), 'file')} of {counted(len({one.account_id for one in counting}), 'account')},"
        f" {len(alone)} of them known from files only",
    )
    yield from _shown_twice(accounts)
    for one in alone:
        yield from _left_behind(one, last[one.account_id], banks_day(now()))


def _shown_twice(accounts: list[Known]) -> Iterator[Finding]:
    """Names an account of files that a bank shows, too: its payments are in the ledger twice."""
    joined = connected_since(accounts)
    for one, target in shown_by_banks(accounts):
        about = f"{one.name} ({one.account_id}), known from files, has the number of {target.name} ({target.account_id})"
        if (one, target) in joined:
            yield Finding("account of files", "note", about, "The next run or import makes them one account")
        else:
            yield Finding(
                "account of files",
                "wrong",
                f"{about}, and others have it, too: payments may be there twice",
                f"If they are one: `python -m pipelines import --assign {one.account_id} --account {target.account_id}`",
            )


def _left_behind(one: Known, last: "date", today: "date") -> Iterator[Finding]:
    if today - last > OLD:
        yield Finding(
            "account of files",
            "note",
            f"{one.name} ({one.account_id}), known from files only, ends on {last}",
            "Import its newer statements; if the account is closed, do nothing",
        )
