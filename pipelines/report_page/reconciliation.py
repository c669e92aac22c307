"""One month, day by day: which days are proven, what differs, what is under way, and what has no category."""

import csv
import io
from calendar import monthrange
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from msgspec import Struct

from pipelines.report_page import wording
from pipelines.report_page.scope import DAYS, LABELS, Scope

ROWS = 50
"""Rows of a list; how many there are stands beside it."""
COUNTERPARTIES = 20
MONTHS = 12


class Square(Struct, frozen=True, kw_only=True):
    """One day of one account; no state where the ledger does not know the day."""

    day: date
    state: str | None


class Calendar(Struct, frozen=True, kw_only=True):
    """A month of every account that it touches."""

    month: date
    days: Sequence[date]
    rows: Sequence[tuple[str, Sequence[Square]]]
    """By account: its name, and all days of the month."""


class MonthStates(Struct, frozen=True, kw_only=True):
    """How many days of accounts are in which state, in one month."""

    month: date
    days: int
    proven: int
    complete: int
    unfinished: int
    gap: int
    differs: int


class Difference(Struct, frozen=True, kw_only=True):
    """A day on which the bank's balances moved more, or less, than the stored movements."""

    account_id: str
    day: date
    differs_since: date | None
    difference_amount: Decimal
    currency: str | None
    of: int
    """Number of all of them."""


class Transit(Struct, frozen=True, kw_only=True):
    """Money that left one own account and has not arrived in another."""

    account_id: str
    booked_on: date
    amount: Decimal
    currency: str
    days: int
    overdue: bool
    of: int


class Uncategorised(Struct, frozen=True, kw_only=True):
    """A counterparty whose payments have no category, and the line of `rules.csv` that gives them one.

    Payments that name no counterparty are listed by their text.
    """

    name: str
    is_counterparty: bool = True
    """Whether `name` is a counterparty's; else it is the text of the payments."""
    direction: str
    currency: str
    amount: Decimal
    transactions: int
    last_on: date
    of: int

    @property
    def rule(self) -> str | None:
        """Returns the line for `rules.csv`; the account at its end is for a person to choose.

        None for a name that the page does not show whole: the rule would match nothing. A rule matches a part of a name or of a
        text, so it may begin after what a spreadsheet takes for a formula.
        """
        name = self.name.lstrip("=+-@ ")
        if not name or wording.text(name) != name:
            return None
        account = "Expenses:Uncategorised" if self.direction == "out" else "Income:Uncategorised"
        searched = (name, "", "") if self.is_counterparty else ("", "", name)
        written = io.StringIO()
        csv.writer(written, lineterminator="").writerow([name, "", *searched, self.direction, account])
        line = written.getvalue()
        return line if wording.text(line) == line else None


class _Day(Struct, frozen=True, kw_only=True):
    account_id: str
    day: date
    state: str


def calendar(scope: Scope) -> Calendar | None:
    """Returns the days of the month that is shown; None before the first one."""
    month = scope.month
    if month is None:
        return None
    days = [month.replace(day=number + 1) for number in range(monthrange(month.year, month.month)[1])]
    query = f"select account_id, day, state from {DAYS} where day between $first and $last"
    known = {(one.account_id, one.day): one.state for one in scope.records(_Day, query, first=days[0], last=days[-1])}
    touched = {account_id for account_id, _ in known}
    rows = [
        (label, [Square(day=day, state=known.get((account_id, day))) for day in days])
        for account_id, label in scope.labels.items()
        if account_id in touched
    ]
    return Calendar(month=month, days=days, rows=rows)


def month_states(scope: Scope) -> list[MonthStates]:
    """Returns the states of days of the last twelve months, the newest first."""
    states = ", ".join(
        f"count(*) filter (where state = '{one}') as {one}" for one in ("proven", "complete", "unfinished", "gap", "differs")
    )
    return scope.records(
        MonthStates,
        f"""
        select cast(date_trunc('month', day) as date) as month, count(*) as days, {states}
        from {DAYS} group by month order by month desc limit $most
        """,
        most=MONTHS,
    )


def differences(scope: Scope) -> list[Difference]:
    """Returns the days that differ by an amount, the newest first."""
    return scope.records(
        Difference,
        f"""
        select account_id, day, differs_since, difference_amount, currency, count(*) over () as of
        from {DAYS}
        where difference_amount is not null
        order by day desc, account_id limit $most
        """,
        most=ROWS,
    )


def in_transit(scope: Scope) -> list[Transit]:
    """Returns the money under way, the oldest first."""
    return scope.records(
        Transit,
        f"""
        select account_id, booked_on, amount, currency, days, overdue, count(*) over () as of
        from in_transit semi join {LABELS} using (account_id)
        order by booked_on, transaction_id limit $most
        """,
        most=ROWS,
    )


def uncategorised(scope: Scope) -> list[Uncategorised]:
    """Returns what no rule and no mapping knows: counterparties, and texts of payments without one. Most payments come first."""
    return scope.records(
        Uncategorised,
        f"""
        with

        legs as (
            select transaction_id, currency, -amount as moved from postings semi join {LABELS} using (account_id)
            where leg = 2 and ledger_account in ('Expenses:Uncategorised', 'Income:Uncategorised')
            union all
            -- the splits of a divided movement
            select transaction_id, currency, -sum(amount) as moved from postings semi join {LABELS} using (account_id)
            where leg > 4 and ledger_account in ('Expenses:Uncategorised', 'Income:Uncategorised')
            group by transaction_id, currency, ledger_account
        ),

        sums as (
            select
                coalesce(nullif(trim(counterparty_name), ''), description, '') as name,
                coalesce(trim(counterparty_name), '') <> '' as is_counterparty,
                case when moved < 0 then 'out' else 'in' end as direction,
                legs.currency,
                cast(sum(moved) as decimal(38, 2)) as amount,
                count(*) as transactions,
                max(booked_on) as last_on
            from transactions inner join legs using (transaction_id)
            group by all
        )

        select *, count(*) over () as of
        from sums
        order by transactions desc, name, is_counterparty, direction, currency
        limit $most
        """,
        most=COUNTERPARTIES,
    )
