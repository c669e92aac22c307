"""What banks have changed in closed months, by the published ledger."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

from pipelines.text.numbers import counted

NAMED = 5
"""Transactions that a sentence names; it counts the others."""
_CHANGES = """
select account_id, month, transaction_id, change, sha256(concat_ws(';', change, after_on, after_amount)) as state
from main.closed_month_changes
order by account_id, month, transaction_id
"""
_OPEN = """
select distinct
    corrections.account_id, date_trunc('month', movement_on)::date as month, transaction_id,
    case cause when 'late' then 'new' else cause end as change, '' as state
from main.corrections
where transaction_id is not null and cause <> 'reclassified'
order by account_id, month, transaction_id
"""


@dataclass(frozen=True)
class ClosedChange:
    """A transaction that a bank added to a closed month (`new`), changed in it (`changed`) or took out of it (`removed`)."""

    account_id: str
    month: date
    transaction_id: str
    change: str
    state: str
    """A hash of how the bank shows it: another one after another change."""

    def named(self) -> dict[str, str]:
        """Returns it as `run --json` and `status --json` show it."""
        of_month = f"{self.month:%Y-%m}"
        return {
            "account_id": self.account_id, "month": of_month, "transaction_id": self.transaction_id, "change": self.change
        }  # fmt: skip


def closed_changes(ledger: Path) -> list[ClosedChange]:
    """Returns every transaction that differs from a closed month."""
    return _asked(ledger, _CHANGES)


def open_corrections(ledger: Path) -> list[ClosedChange]:
    """Returns those whose correction is in a month that is still open."""
    return _asked(ledger, _OPEN)


def by_month(changes: Iterable[ClosedChange]) -> Iterator[tuple[str, date, Sequence[ClosedChange]]]:
    """Yields account, month and changes, for each month of an account with any."""
    for (account_id, month), found in groupby(changes, key=lambda one: (one.account_id, one.month)):
        yield account_id, month, list(found)


def sentences(changes: Iterable[ClosedChange]) -> list[str]:
    """Returns a sentence for each closed month in which a bank, or a file of it, has changed something."""
    return [
        f"! {account_id}: {counted(len(found), 'transaction')} of the closed month {month:%Y-%m} changed since it was closed"
        f" ({ids(found)}); journals correct it in the open month, and `python -m pipelines prove {account_id}"
        f" --from {month} --to {_end(month)}` shows both views"
        for account_id, month, found in by_month(changes)
    ]


def ids(changes: Sequence[ClosedChange]) -> str:
    """Returns the transactions for people."""
    named = [f"{one.transaction_id} {one.change}" for one in changes[:NAMED]]
    return ", ".join([*named, *([f"and {len(changes) - NAMED} more"] if len(changes) > NAMED else [])])


def _end(month: date) -> date:
    return date.fromordinal(date(month.year + month.month // 12, month.month % 12 + 1, 1).toordinal() - 1)


def _asked(ledger: Path, query: str) -> list[ClosedChange]:
    if not ledger.exists():
        return []
    import duckdb

    from pipelines.store.read_only import read_only

    try:
        with read_only(ledger) as connection:
            return [ClosedChange(*row) for row in connection.execute(query).fetchall()]
    except duckdb.Error:  # of an earlier version, or damaged: whoever builds or reads it says so
        return []
