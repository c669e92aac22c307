"""The newest transactions, which a small script searches."""

from datetime import date
from decimal import Decimal

from msgspec import Struct

from pipelines.report_page.scope import LABELS, Scope

ROWS = 500


class Transaction(Struct, frozen=True, kw_only=True):
    """One transaction as the bank shows it now."""

    account_id: str
    day: date | None
    status: str
    amount: Decimal
    currency: str
    counterparty: str | None
    description: str | None
    category: str | None


def newest(scope: Scope) -> list[Transaction]:
    """Returns the newest transactions, of the month that was asked for where one was."""
    return scope.records(Transaction, _NEWEST, most=ROWS, month=scope.options.month)


def shown_of(scope: Scope, all_transactions: int) -> int:
    """Returns how many transactions these are the newest of: those of the month that was asked for, else all of them."""
    if scope.options.month is None:
        return all_transactions
    found: tuple[int] = scope.row(
        f"""
        select count(*) from transactions semi join {LABELS} using (account_id)
        where date_trunc('month', coalesce(booked_on, transaction_on)) = cast($month as date)
        """,
        month=scope.options.month,
    )
    return found[0]


_NEWEST = f"""
with

-- the newest first, before anything is joined to them
chosen as (
    select transaction_id, account_id, coalesce(booked_on, transaction_on) as day, status, amount, currency,
        counterparty_name as counterparty, description
    from transactions semi join {LABELS} using (account_id)
    where $month is null or date_trunc('month', coalesce(booked_on, transaction_on)) = cast($month as date)
    order by day desc nulls first, transaction_id
    limit $most
)

select account_id, day, status, chosen.amount, chosen.currency, counterparty, description, ledger_account as category
from chosen left join (
    -- of a divided movement that of the largest split
    select transaction_id, list(ledger_account order by abs(amount) desc, leg)[1] as ledger_account
    from postings
    where leg not in (1, 3, 4) and leg < 1000 and transaction_id in (select transaction_id from chosen)
    group by transaction_id
) as categories using (transaction_id)
order by day desc nulls first, transaction_id
"""
