"""The days of an account that its bank or earlier files have shown whole, for comparison with those of a file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.run.file_accounts import Known
from pipelines.store.banks import bank_named
from pipelines.store.files import FILE, days_of_files
from pipelines.text.numbers import counted
from sources.files.values import FileRefused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.files import Day

NAMED = 3
"""The number of days that a message names."""


@dataclass(frozen=True)
class BankDays:
    """Amounts by day, and the days shown whole: after the first movement that the bank shows, and over when it was read."""

    days: "dict[date, Day]"
    covered: set[date]


def bank_days(connection: "DuckDBPyConnection", account: Known) -> BankDays:
    """Returns what the bank shows of the account. The ledger's `int_file_entries` decides by the same days."""
    bank = bank_named(account.source)
    shape, days = bank.shape, dict[date, Counter[Decimal]]()
    for day, amount, rows in connection.execute(
        f"select {shape.booked_on}, cast({shape.money} as decimal(18, 2)), count(*) from {shape.table}"
        f" where account_id = ? and _dlt_valid_to is null and {shape.booked} group by all",
        [account.account_id],
    ).fetchall():
        days.setdefault(day, Counter())[amount] = rows
    covered: set[date] = set()
    if days:
        first = min(days)
        for start, read_at in connection.execute(
            f"select window_start, coalesce(as_of, finished_at) from {bank.name}.imports"
            " where account_id = ? and status = 'complete'",
            [account.account_id],
        ).fetchall():
            covered |= _between(max(first + timedelta(days=1), start or date.min), bank.day(read_at))
    return BankDays(days, covered)


def compare(
    connection: "DuckDBPyConnection", account: Known, ours: "Mapping[date, Day]", *, accept: bool, who: str = "It has"
) -> list[str]:
    """Returns a note if the bank shows other entries than the file on some days, and `accept` allows that.

    Raises `FileRefused` if `accept` does not allow it, and for days on which an earlier file has other entries.
    """
    earlier = days_of_files(connection, account.account_id)
    if differing := [day for day in sorted(ours) if day in earlier and earlier[day] != ours[day]]:
        raise FileRefused(
            f"{who} other entries than an earlier file on {_shown(differing, ours, earlier)}",
            "One of the two files is incomplete. `import --list` names the files, `import --undo ID` takes one back",
        )
    days, differing = differing_days(connection, account, ours)
    if not differing:
        return []
    about = f"{counted(len(differing), 'day')} that both show: {_shown(differing, ours, days)}"
    if not accept:
        raise FileRefused(
            f"{who} other entries than the bank on {about}",
            "Look at these days. --accept-differences imports the file: on such days the bank's entries count",
        )
    return [f"other entries than the bank on {about}; the bank's entries count"]


def differing_days(
    connection: "DuckDBPyConnection", account: Known, ours: "Mapping[date, Day]"
) -> "tuple[dict[date, Day], list[date]]":
    """Returns the bank's days, and those of `ours` that it shows whole with other entries."""
    shown = bank_days(connection, account) if account.source != FILE else BankDays({}, set())
    return shown.days, [day for day in sorted(ours) if day in shown.covered and shown.days.get(day, Counter()) != ours[day]]


def _shown(differing: list[date], ours: "Mapping[date, Day]", theirs: "Mapping[date, Day]") -> str:
    """Returns the first days with the number of entries on both sides; no amount."""
    parts = [f"{day} ({ours[day].total()} in the file, {theirs.get(day, Counter()).total()} there)" for day in differing[:NAMED]]
    return ", ".join(parts) + (f" and {len(differing) - NAMED} more" if len(differing) > NAMED else "")


def _between(first: date, end: date) -> set[date]:
    """Returns the days from the first one to the day before `end`."""
    return {first + timedelta(days=number) for number in range((end - first).days)}
