"""What every part of the page is about: the connection, the accounts that are shown, the days and the month."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from pipelines.report_page.page_options import PageOptions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Record = TypeVar("Record")
LABELS, DAYS = "page_labels", "page_days"
"""Temporary tables: the accounts that are shown, with their names, and their days, with balance and state."""


class Account(Struct, frozen=True, kw_only=True):
    """One account that is shown."""

    account_id: str
    label: str
    source: str
    institution: str
    currency: str | None
    balance: Any
    balance_at: datetime | None
    first_booked_on: date | None
    last_booked_on: date | None
    last_imported_at: datetime | None
    gone_at: datetime | None
    days: int
    reconciled: int
    """Days that the bank's balances prove, whether or not they were read to their end: as a run counts them."""
    complete: int
    unfinished: int
    """Days that were read before they were over, and that no balance proves."""
    gap: int
    differs: int


class Scope:
    """The published ledger, as far as one page shows it."""

    def __init__(self, connection: "DuckDBPyConnection", options: PageOptions) -> None:
        """Reads what every part needs. Raises `duckdb.Error` for a file that is no ledger."""
        self.connection = connection
        self.options = options
        self._label_accounts()
        connection.execute(_DAYS)

    def records(self, kind: type[Record], query: str, **parameters: Any) -> list[Record]:
        """Returns the rows of a query as values of `kind`, whose fields are its columns."""
        cursor = self.connection.execute(query, parameters or None)
        names = [column[0] for column in cursor.description or []]
        return [kind(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def row(self, query: str, **parameters: Any) -> tuple[Any, ...]:
        """Returns the only row of a query."""
        found: tuple[Any, ...] | None = self.connection.execute(query, parameters or None).fetchone()
        return found or ()

    @cached_property
    def accounts(self) -> Sequence[Account]:
        """Returns the accounts that are shown, open ones first."""
        return self.records(
            Account,
            f"""
            with days as (
                select account_id, count(*) as days, count(*) filter (where proof in ('chain', 'reported')) as reconciled,
                    count(*) filter (where state = 'complete') as complete,
                    count(*) filter (where state = 'unfinished' and proof not in ('chain', 'reported')) as unfinished,
                    count(*) filter (where state = 'gap') as gap,
                    count(*) filter (where state = 'differs') as differs
                from {DAYS}
                group by account_id
            )

            select account_id, label, source, institution, currency, balance, balance_at, first_booked_on, last_booked_on,
                last_imported_at, gone_at, coalesce(days, 0) as days,
                coalesce(reconciled, 0) as reconciled, coalesce(complete, 0) as complete,
                coalesce(unfinished, 0) as unfinished, coalesce(gap, 0) as gap, coalesce(differs, 0) as differs
            from {LABELS} inner join accounts using (account_id) left join days using (account_id)
            order by gone_at is not null, source desc, institution, label, account_id
            """,
        )

    @cached_property
    def labels(self) -> dict[str, str]:
        """Returns the name of each account that is shown."""
        return {account.account_id: account.label for account in self.accounts}

    @cached_property
    def through(self) -> date | None:
        """Returns the last day that any account that is shown is known for; None before the first one."""
        found: tuple[date | None] = self.row(f"select max(day) from {DAYS}")
        return found[0]

    @cached_property
    def month(self) -> date | None:
        """Returns the first day of the month whose days are shown."""
        return self.options.month or (self.through.replace(day=1) if self.through else None)

    def _label_accounts(self) -> None:
        self.connection.execute(
            f"""
            create or replace temp table {LABELS} as
            select account_id, display_name as label from accounts
            where $only is null or account_id = $only
            """,
            {"only": self.options.account_id},
        )


STATES = {
    "proven": "proven by the bank’s balances",
    "complete": "complete, but not proven",
    "unfinished": "read before the day was over",
    "gap": "gap: no import covers it",
    "differs": "differs from the bank’s balances",
}
"""Every state with its meaning, from the best to the worst."""
STATE_TYPE = f"enum ({', '.join(repr(state) for state in STATES)})"
"""The type of a state: the worse of two is the greater one."""
SIGNS = {"proven": "•", "complete": "○", "unfinished": "~", "gap": "×", "differs": "!"}
"""Colour never stands alone."""

_DAYS = f"""
create or replace temp table {DAYS} as
select
    account_id,
    day,
    coverage.proof,
    coverage.difference_amount,
    coverage.differs_since,
    balances_daily.currency,
    closing_balance,
    cast(case
        when coverage.proof = 'differs' or coverage.difference_amount is not null then 'differs'
        when status in ('unseen', 'hole') then 'gap'
        when status = 'unfinished' then 'unfinished'
        when coverage.proof in ('chain', 'reported') then 'proven'
        else 'complete'
    end as {STATE_TYPE}) as state
from coverage
semi join {LABELS} using (account_id)
left join balances_daily using (account_id, day)
"""
"""The worst state that is true of a day; the order of the states is that of `STATES`."""
