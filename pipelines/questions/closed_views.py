"""Both views of a closed month: as it was closed, and as its bank shows it now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.questions.closing import Figures, accounts_of, figures_of
from pipelines.store.sql import Rows, rows_of
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CLOSED = """
select
    month, first_day, last_day, closed_at, complete,
    transactions, money_in, money_out, opening_balance, closing_balance, transactions_sha256, bank_balance_on, bank_balance
from closings
where account_id = $account and last_day >= $first and first_day <= $last
order by month
"""
_CHANGES = """
select month, transaction_id, change
from closed_month_changes
where account_id = $account
order by month, transaction_id
"""
_FIGURES = tuple(Figures.__annotations__)


@dataclass(frozen=True, kw_only=True)
class ClosedView:
    """A closed month of an account."""

    month: str
    closed_on: date
    complete: bool
    as_closed: Figures
    now: Figures
    changes: Rows
    """Id and change of each transaction that differs."""

    @property
    def differs(self) -> bool:
        """Returns whether the bank shows the month in another way than when it was closed."""
        return self.as_closed.transactions_sha256 != self.now.transactions_sha256

    def as_json(self) -> dict[str, Any]:
        """Returns one of `closed_months` in `prove --json`."""
        return {
            "month": self.month,
            "closed_on": self.closed_on,
            "complete": self.complete,
            "differs": self.differs,
            "as_closed": vars(self.as_closed),
            "now": vars(self.now),
            "changes": self.changes,
        }


def closed_views(connection: "DuckDBPyConnection", account_id: str, first: date, last: date) -> list[ClosedView]:
    """Returns the closed months of an account that have any of these days, oldest first."""
    found = rows_of(connection, _CLOSED, {"account": account_id, "first": first, "last": last})
    if not found:
        return []
    (account,) = accounts_of(connection, account_id)
    changes = rows_of(connection, _CHANGES, {"account": account_id})
    return [
        ClosedView(
            month=f"{one['month']:%Y-%m}",
            closed_on=one["closed_at"].date(),
            complete=one["complete"],
            as_closed=Figures(**{name: one[name] for name in _FIGURES}),
            now=figures_of(connection, account, one["first_day"], one["last_day"]),
            changes=[
                {"transaction_id": row["transaction_id"], "change": row["change"]}
                for row in changes
                if row["month"] == one["month"]
            ],
        )
        for one in found
    ]


def text(views: Sequence[ClosedView]) -> str:
    """Returns the closed months for people."""
    lines = []
    for one in views:
        state = "" if one.complete else " (incomplete)"
        lines.append(f"closed    {one.month} on {one.closed_on}{state}: {_figures(one.as_closed)}")
        if one.differs:
            lines.append(f"now       {one.month}: {_figures(one.now)}")
            lines += [f"changed   {row['transaction_id']}: {row['change']}" for row in one.changes]
        else:
            lines.append(f"now       {one.month}: the bank shows the same transactions")
    return "\n".join(lines)


def text_of_accounts(accounts: Iterable[tuple[str, Sequence[ClosedView]]]) -> str:
    """Returns the closed months of several accounts by name: both views of those that differ, the number of the others."""
    lines, alike = [], 0
    for name, views in accounts:
        differing = [one for one in views if one.differs]
        alike += len(views) - len(differing)
        if differing:
            lines += [f"Closed months of {name} that differ since:", text(differing)]
    if alike:
        months = "closed month is" if alike == 1 else "closed months are"
        lines.append(f"{alike} {months} as closed, counted for each account.")
    return "\n".join(lines)


def _figures(one: Figures) -> str:
    before, after = ("unknown" if money is None else f"{money:,.2f}" for money in (one.opening_balance, one.closing_balance))
    moved = f"{counted(one.transactions, 'transaction')}, {one.money_in:,.2f} in, {one.money_out:,.2f} out"
    return f"{moved}, balance {before} to {after}, sha256 {one.transactions_sha256}"
