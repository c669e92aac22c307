"""The ledger as a beancount journal: what it opens with, every booked movement with both legs, and what the bank says it holds.

Nothing is padded. An account opens with the bank's own balance before its first movement: where there are running balances, that
of the first one, else the reported balance less all that moved since. What the bank moved beyond the movements that are known is
an entry of its own against `Equity:Differences`, on the day on which it shows, never a part of the opening. Each assertion is a
balance that the bank itself gave: its running balance at the end of a month and on both sides of a difference, and the balance
that it reported last. They hold to the cent (`~ 0.00`): beancount's own tolerance would let one cent pass.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.store.sql import each_row, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OPENING = """
select
    accounts.ledger_account,
    accounts.currency,
    min(balances.day) - 1 as day,
    min_by(balances.opening_balance, balances.day) as amount
from accounts
inner join balances_daily as balances using (account_id)
where balances.opening_balance is not null
group by accounts.ledger_account, accounts.currency
order by accounts.ledger_account
"""

_DIFFERENCES = """
select
    coverage.day,
    coverage.differs_since,
    accounts.ledger_account,
    coverage.difference_amount as amount,
    accounts.currency
from coverage
inner join accounts using (account_id)
inner join balances_daily as balances using (account_id, day)
where coverage.difference_amount <> 0 and balances.closing_balance is not null
order by coverage.day, accounts.ledger_account
"""

# An assertion holds at the beginning of its day, so it is written on the next one
_ASSERTIONS = """
with

running as (
    select
        balances.account_id,
        balances.day,
        balances.bank_balance as amount,
        row_number() over (partition by balances.account_id, date_trunc('month', balances.day) order by balances.day desc) = 1
            as ends_a_month,
        balances.difference_amount is not null or before.day is not null as beside_a_difference
    from balances_daily as balances
    left join (select distinct account_id, differs_since as day from coverage) as before
        on before.account_id = balances.account_id and before.day = balances.day
    where balances.bank_balance is not null
),

asserted as (select account_id, day, amount from running where ends_a_month or beside_a_difference),

reported as (
    select account_id, max(balances.day) as day, any_value(accounts.balance) as amount
    from balances_daily as balances
    inner join accounts using (account_id)
    where accounts.balance is not null and proof <> 'unknown' and balances.day <= accounts.balance_on
    group by account_id
)

select distinct day + 1 as day, ledger_account, amount, currency
from (select * from asserted union select * from reported)
inner join accounts using (account_id)
order by day, ledger_account, amount
"""

_OWN_WORDS = {"Equity:Differences": "What a bank's balances moved beyond the movements that are known"}

_USED = """
select ledger_account, min(day) as day, list_sort(list(distinct currency)) as currencies
from (
    select ledger_account, booked_on as day, currency from postings
    union all
    select ledger_account, day, currency from opening
    union all
    select 'Equity:Opening-Balances', day, currency from opening
    union all
    select ledger_account, day, currency from differences
    union all
    select 'Equity:Differences', day, currency from differences
)
group by ledger_account
order by ledger_account
"""

_ENTRIES = """
select
    transactions.booked_on as day,
    coalesce(transactions.counterparty_name, '') as payee,
    coalesce(transactions.description, transactions.transaction_type, '') as narration,
    transactions.transaction_id,
    transactions.transfer_id,
    transactions.amount,
    transactions.currency,
    bank.ledger_account as bank_account,
    other.ledger_account as other_account,
    other.decided_by,
    other.reversal_of,
    resolved.ledger_account as resolved_account,
    -resolved.amount as resolved_amount
from transactions
inner join postings as bank on bank.transaction_id = transactions.transaction_id and bank.leg = 1
inner join postings as other on other.transaction_id = transactions.transaction_id and other.leg = 2
left join postings as resolved on resolved.transaction_id = transactions.transaction_id and resolved.leg = 4
order by transactions.booked_on, transactions.account_id, transactions.transaction_id
"""


def lines(connection: "DuckDBPyConnection") -> Iterator[str]:
    """Yields the journal, line by line."""
    connection.execute(f"create or replace temp table opening as {_OPENING}")
    connection.execute(f"create or replace temp table differences as {_DIFFERENCES}")
    settings = rows_of(connection, "select any_value(reporting_currency) as currency from postings")
    yield 'option "title" "kontoledger"'
    if settings and settings[0]["currency"]:
        yield f'option "operating_currency" "{settings[0]["currency"]}"'
    yield ""
    yield from _opened(connection)
    yield from _begun(connection)
    yield from _moved(connection)
    yield from _differing(connection)
    for one in rows_of(connection, _ASSERTIONS):
        yield f"{one['day']} balance {one['ledger_account']}  {one['amount']} ~ 0.00 {one['currency']}"


def _opened(connection: "DuckDBPyConnection") -> Iterator[str]:
    words = _OWN_WORDS | {
        row["ledger_account"]: row["description"]
        for row in rows_of(connection, "select ledger_account, description from ledger_accounts")
    }
    for one in rows_of(connection, _USED):
        yield f"{one['day']} open {one['ledger_account']}"
        yield f'  description: "{_text(words.get(one["ledger_account"], ""))}"'
    yield ""


def _begun(connection: "DuckDBPyConnection") -> Iterator[str]:
    for one in rows_of(connection, "select * from opening order by day, ledger_account"):
        yield f'{one["day"]} * "Balance before the first known movement"'
        yield f"  {one['ledger_account']}  {one['amount']} {one['currency']}"
        yield f"  Equity:Opening-Balances  {-one['amount']} {one['currency']}"
        yield ""


def _differing(connection: "DuckDBPyConnection") -> Iterator[str]:
    for one in rows_of(connection, "select * from differences order by day, ledger_account"):
        since = f", after the last movement of {one['differs_since']}" if one["differs_since"] else ""
        yield f'{one["day"]} * "Difference" "The bank moved this beyond what the ledger holds{since}" #difference'
        yield f"  {one['ledger_account']}  {one['amount']} {one['currency']}"
        yield f"  Equity:Differences  {-one['amount']} {one['currency']}"
        yield ""


def _moved(connection: "DuckDBPyConnection") -> Iterator[str]:
    cursor = connection.cursor()
    cursor.execute("use ledger")
    for row in each_row(cursor, _ENTRIES):
        yield from _entry(row)


def _entry(one: dict[str, Any]) -> Iterator[str]:
    link = f" ^{one['transfer_id']}" if one["transfer_id"] else ""
    yield f'{one["day"]} * "{_text(one["payee"])}" "{_text(one["narration"])}"{link}'
    yield f'  transaction_id: "{_text(one["transaction_id"])}"'
    yield f'  decided_by: "{_text(one["decided_by"])}"'
    if one["reversal_of"]:
        yield f'  reversal_of: "{_text(one["reversal_of"])}"'
    yield f"  {one['bank_account']}  {one['amount']} {one['currency']}"
    yield f"  {one['other_account']}  {-one['amount']} {one['currency']}"
    if one["resolved_account"]:
        yield f"  {one['other_account']}  {one['resolved_amount']} {one['currency']}"
        yield f"  {one['resolved_account']}  {-one['resolved_amount']} {one['currency']}"
    yield ""


def _text(text: str) -> str:
    """Returns text for inside quotes: one line, quotes and backslashes escaped."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
