"""The ledger as a journal of double entry: openings, every booked movement with its legs, and the balances of the bank.

Nothing is padded. An account opens with the bank's own balance before its first movement: where there are running balances, that
of the first one, else the reported balance less all that moved since. What the bank moved beyond the movements that are known is
an entry of its own against `Equity:Differences`, on the day on which it shows, never a part of the opening. Each assertion is a
balance that the bank itself gave: its running balance at the end of a month and on both sides of a difference, and the balance
that it reported last.

`beancount.py` and `hledger.py` write it down.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.store.sql import each_row, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Money:
    """An amount in its currency."""

    amount: Decimal
    currency: str

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


@dataclass(frozen=True)
class Head:
    """What a journal begins with: the currencies in it, and the one that it reports in, if any."""

    currencies: list[str]
    reporting_currency: str | None


@dataclass(frozen=True)
class Opened:
    """An account, its first day and its currencies."""

    day: date
    account: str
    currencies: list[str]
    description: str


@dataclass(frozen=True)
class Price:
    """What a euro costs on a day."""

    day: date
    price: Money


@dataclass(frozen=True)
class Entry:
    """A movement: its legs sum to zero in each currency."""

    day: date
    payee: str
    narration: str
    legs: list[tuple[str, Money]]
    about: dict[str, str] = field(default_factory=dict)
    """Names and values: which transaction, which rule decided."""
    transfer_id: str | None = None
    differs: bool = False


@dataclass(frozen=True)
class Balance:
    """What an account holds at the end of a day, as its bank says."""

    day: date
    account: str
    holds: Money


Event = Head | Opened | Price | Entry | Balance

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
    connection.execute(f"create or replace temp table opening as {_OPENING}")
    connection.execute(f"create or replace temp table differences as {_DIFFERENCES}")
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
    yield from _begun(connection)
    cursor = connection.cursor()
    cursor.execute("use ledger")
    yield from map(_entry, each_row(cursor, _ENTRIES))
    yield from _differing(connection)
    for one in rows_of(connection, _ASSERTIONS):
        yield Balance(one["day"], one["ledger_account"], Money(one["amount"], one["currency"]))


def _begun(connection: "DuckDBPyConnection") -> Iterator[Entry]:
    for one in rows_of(connection, "select * from opening order by day, ledger_account"):
        legs = _legs(one["ledger_account"], "Equity:Opening-Balances", Money(one["amount"], one["currency"]))
        yield Entry(one["day"], "", "Balance before the first known movement", legs)


def _differing(connection: "DuckDBPyConnection") -> Iterator[Entry]:
    for one in rows_of(connection, "select * from differences order by day, ledger_account"):
        since = f", after the last movement of {one['differs_since']}" if one["differs_since"] else ""
        legs = _legs(one["ledger_account"], "Equity:Differences", Money(one["amount"], one["currency"]))
        narration = f"The bank moved this beyond what the ledger holds{since}"
        yield Entry(one["day"], "Difference", narration, legs, differs=True)


def _entry(one: dict[str, Any]) -> Entry:
    if one["parts"]:
        legs = [(part["ledger_account"], Money(part["amount"], one["currency"])) for part in one["parts"]]
        legs.insert(0, (one["bank_account"], Money(one["amount"], one["currency"])))
    else:
        legs = _legs(one["bank_account"], one["other_account"], Money(one["amount"], one["currency"]))
    if one["resolved_account"]:
        legs += _legs(one["other_account"], one["resolved_account"], Money(one["resolved_amount"], one["currency"]))
    about = {name: one[name] for name in ("transaction_id", "decided_by", "reversal_of") if one[name]}
    return Entry(one["day"], one["payee"], one["narration"], legs, about, one["transfer_id"])


def _legs(account: str, other: str, money: Money) -> list[tuple[str, Money]]:
    return [(account, money), (other, -money)]


def one_line(text: str) -> str:
    """Returns text on one line: what cannot be printed is a blank."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
