"""The ledger as a journal of double entry: openings, every booked movement with its legs, and the balances of the bank.

Nothing is padded. An account opens with the bank's own balance before its first movement: where there are running balances, that
of the first one, else the reported balance less all that moved since. What the bank moved beyond the movements that are known is
an entry of its own against `Equity:Differences`, on the day on which it shows, never a part of the opening. Each assertion is a
balance that the bank itself gave: its running balance at the end of a month and on both sides of a difference, and the balance
that it reported last.

A month that a person has closed stays as it was exported then, whatever its bank shows since. What differs is a correction on the
first open day of the account (`closed_entries.py`). So closed months never change, and sums over all time are the ledger's.

`beancount.py` and `hledger.py` write it down.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.questions import closed_entries
from pipelines.questions.journal_events import Balance, Entry, Event, Head, Money, Opened, Origin, Price
from pipelines.store.sql import each_row, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CLOSED = "select account_id, max(last_day) as closed_through from closings group by account_id"

_BALANCE_ENTRIES = """
select account_id, kind, entry, booked_on as day, ledger_account, other_ledger_account, amount, currency, differs_since
from balance_entries
left join closed using (account_id)
where coalesce(booked_on > closed_through, true)
    and coalesce(account_id = $account, true)
    and coalesce(booked_on <= $until, true)
order by booked_on, ledger_account
"""

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

select distinct day, ledger_account, amount, currency
from (select * from asserted union select * from reported)
inner join accounts using (account_id)
left join closed using (account_id)
where coalesce(day > closed_through, true)
union
select bank_balance_on, ledger_account, bank_balance, currency
from closings
where bank_balance is not null
order by day, ledger_account, amount
"""

_OWN_WORDS = {"Equity:Differences": "What a bank's balances moved beyond the movements that are known"}

_USED = """
select ledger_account, min(day) as day, list_sort(list(distinct currency)) as currencies
from (
    select ledger_account, booked_on as day, currency from postings
    union all
    select unnest([ledger_account, other_ledger_account]), booked_on, currency from balance_entries
    union all
    select ledger_account, booked_on, currency from closed_postings
    union all
    select ledger_account, booked_on, currency from corrections
)
group by ledger_account
order by ledger_account
"""

_ENTRIES = """
select
    transactions.booked_on as day,
    coalesce(transactions.counterparty_name, '') as payee,
    coalesce(transactions.description, transactions.transaction_type, '') as narration,
    transactions.account_id,
    transactions.transaction_id,
    transactions.transfer_id,
    transactions.amount,
    transactions.currency,
    bank.ledger_account as bank_account,
    other.ledger_account as other_account,
    coalesce(other.decided_by, divided.decided_by) as decided_by,
    coalesce(other.reversal_of, divided.reversal_of) as reversal_of,
    divided.parts,
    resolved.ledger_account as resolved_account,
    -resolved.amount as resolved_amount
from transactions
inner join postings as bank on bank.transaction_id = transactions.transaction_id and bank.leg = 1
left join postings as other on other.transaction_id = transactions.transaction_id and other.leg = 2 and other.vat_code is null
left join (
    select
        transaction_id,
        any_value(reversal_of) as reversal_of,
        string_agg(distinct decided_by, ', ' order by decided_by) filter (leg < 1000) as decided_by,
        list({ledger_account: ledger_account, amount: amount} order by leg) as parts
    from postings
    where leg > 4 or (leg = 2 and vat_code is not null)
    group by transaction_id
) as divided on divided.transaction_id = transactions.transaction_id
left join postings as resolved on resolved.transaction_id = transactions.transaction_id and resolved.leg = 4
left join closed on closed.account_id = transactions.account_id
where coalesce(transactions.booked_on > closed.closed_through, true)
    and coalesce(transactions.account_id = $account, true)
    and coalesce(transactions.booked_on <= $until, true)
order by transactions.booked_on, transactions.account_id, transactions.transaction_id
"""

# Rates of the currencies that the journal holds, from its first day on: euros are priced in each
_PRICES = """
select rates.day, rates.currency, rates.rate
from exchange_rates as rates
where rates.currency in (select currency from postings)
    and 'EUR' in (select currency from postings union all select reporting_currency from postings)
    and rates.day >= (select min(booked_on) from postings)
order by rates.day, rates.currency
"""


def events(connection: "DuckDBPyConnection") -> Iterator[Event]:
    """Yields the journal: its head, accounts, prices, entries, and then the balances."""
    find_closed(connection)
    accounts = rows_of(connection, _USED)
    settings = rows_of(connection, "select any_value(reporting_currency) as currency from postings")
    yield Head(sorted({name for one in accounts for name in one["currencies"]}), settings[0]["currency"])
    words = _OWN_WORDS | {
        row["ledger_account"]: row["description"] or ""
        for row in rows_of(connection, "select ledger_account, description from ledger_accounts")
    }
    for one in accounts:
        yield Opened(one["day"], one["ledger_account"], one["currencies"], words.get(one["ledger_account"], ""))
    for one in rows_of(connection, _PRICES):
        yield Price(one["day"], Money(one["rate"], one["currency"]))
    yield from closed_entries.closed(connection)
    yield from open_entries(connection)
    for one in rows_of(connection, _ASSERTIONS):
        yield Balance(one["day"], one["ledger_account"], Money(one["amount"], one["currency"]))


def open_entries(connection: "DuckDBPyConnection", account: str | None = None, until: date | None = None) -> Iterator[Entry]:
    """Yields the entries of days that are not closed, of all accounts or one, through a day. Corrections come last."""
    find_closed(connection)
    given = {"account": account, "until": until}
    others = [_balance_entry(one) for one in rows_of(connection, _BALANCE_ENTRIES, given)]
    yield from (one for one in others if not one.differs)
    cursor = connection.cursor()
    cursor.execute("use ledger")
    find_closed(cursor)
    yield from map(_entry, each_row(cursor, _ENTRIES, given))
    yield from (one for one in others if one.differs)
    yield from closed_entries.corrections(connection, account, until)


def find_closed(connection: "DuckDBPyConnection") -> None:
    """Makes the table `closed`: the last closed day of each account that has one."""
    connection.execute(f"create or replace temp table closed as {_CLOSED}")


def _balance_entry(one: dict[str, Any]) -> Entry:
    legs = _legs(one["ledger_account"], one["other_ledger_account"], Money(one["amount"], one["currency"]))
    origin = Origin(one["account_id"], one["kind"], one["entry"], one["day"])
    if one["kind"] == "opening":
        return Entry(one["day"], "", "Balance before the first known movement", legs, origin=origin)
    since = f", after the last movement of {one['differs_since']}" if one["differs_since"] else ""
    narration = f"The bank moved this beyond what the ledger holds{since}"
    return Entry(one["day"], "Difference", narration, legs, differs=True, origin=origin)


def _entry(one: dict[str, Any]) -> Entry:
    if one["parts"]:
        legs = [(part["ledger_account"], Money(part["amount"], one["currency"])) for part in one["parts"]]
        legs.insert(0, (one["bank_account"], Money(one["amount"], one["currency"])))
    else:
        legs = _legs(one["bank_account"], one["other_account"], Money(one["amount"], one["currency"]))
    if one["resolved_account"]:
        legs += _legs(one["other_account"], one["resolved_account"], Money(one["resolved_amount"], one["currency"]))
    about = {name: one[name] for name in ("transaction_id", "decided_by", "reversal_of") if one[name]}
    origin = Origin(one["account_id"], "transaction", one["transaction_id"], one["day"])
    return Entry(one["day"], one["payee"], one["narration"], legs, about, one["transfer_id"], origin=origin)


def _legs(account: str, other: str, money: Money) -> list[tuple[str, Money]]:
    return [(account, money), (other, -money)]
