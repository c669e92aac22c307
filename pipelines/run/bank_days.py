"""The days of an account that its bank has shown whole, for comparison with a file."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.run.file_accounts import Known
from pipelines.store.banks import bank_named

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.files import Day


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


def _between(first: date, end: date) -> set[date]:
    """Returns the days from the first one to the day before `end`."""
    return {first + timedelta(days=number) for number in range((end - first).days)}
