"""Account statements: the booked entries of an account and a period, with the balances before the first and after the last.

`camt053.py`, `mt940.py` and `ofx.py` write them. Three rules hold for each of them:

- The opening balance and the entries sum to the closing balance, exactly. A statement that does not is refused.
- Each day of it was read after it had ended, and nothing differs from the bank's balances (`prove`). Otherwise it is refused by
  name, or, if the person allows it, says itself that it is incomplete.
- Its id, number and entries depend on the ledger alone, so two exports of one ledger are equal to the byte.

Pending rows, memos and reservations are no entries.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from pipelines.errors import Failure
from pipelines.questions import prove
from pipelines.store.ledger_reader import account_of
from pipelines.store.sql import each_row, rows_of
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMED = 5
"""Statements that a refusal names; it counts the others."""
WHOLE_UNITS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
"""Currencies without a smaller unit (ISO 4217)."""

_ACCOUNTS = """
select
    account_id, source, iban, account_type, currency, display_name, owner_name, institution, bic, balance,
    min(coverage.day)                                           as first_day,
    max(coverage.day) filter (coverage.status = 'seen')         as last_day
from accounts
left join coverage using (account_id)
where coalesce(account_id = $account, true) and coalesce(currency = $currency, true)
group by all
order by account_id
"""

_BALANCES = """
select day, opening_balance, closing_balance
from balances_daily
where account_id = $account
order by day
"""

_TOTALS = """
select
    booked_on as day,
    count(*) filter (amount >= 0) as credits,
    coalesce(sum(amount) filter (amount >= 0), 0) as credited,
    count(*) filter (amount < 0) as debits,
    coalesce(sum(amount) filter (amount < 0), 0) as debited
from transactions
where account_id = $account and status = 'booked' and currency = $currency and booked_on between $first and $last
group by booked_on
order by booked_on
"""

_ENTRIES = """
with returns as (
    select transaction_id, any_value(reversal_of) as reversal_of
    from postings
    where account_id = $account and reversal_of is not null
    group by transaction_id
)

select
    transaction_id, source_transaction_id, booked_on, coalesce(value_on, booked_on) as value_on, amount,
    original_amount, original_currency, counterparty_name, counterparty_iban, description, end_to_end_id, mandate_number,
    transaction_type, reversal_of
from transactions
left join transaction_details using (transaction_id)
left join returns using (transaction_id)
where transactions.account_id = $account and status = 'booked' and currency = $currency and booked_on between $first and $last
order by booked_on, transaction_id
"""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The accounts and days that a person asks for. What is None is not limited."""

    first: date | None = None
    last: date | None = None
    account: str | None = None
    """Its id, or the last characters of its IBAN."""
    currency: str | None = None
    per: Literal["day", "month"] | None = None
    allow_incomplete: bool = False

    @property
    def is_everything(self) -> bool:
        """Returns whether nothing was chosen."""
        return self == Selection()


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account of a statement."""

    account_id: str
    source: str
    iban: str | None
    """None for a card too: a card repeats the IBAN of the account behind it."""
    is_card: bool
    currency: str
    display_name: str
    owner_name: str | None
    institution: str
    bic: str | None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Number and sum of credits and of debits; the sum of debits is zero or negative."""

    credits: int
    credited: Decimal
    debits: int
    debited: Decimal


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A period of an account."""

    account: Account
    first: date
    last: date
    opening: Decimal
    closing: Decimal
    totals: Totals
    sequence: int
    """YYMM of a month, YYDDD of a day: at most five digits, as MT940 has them."""
    missing: tuple[str, ...]
    """Why the period is incomplete, as sentences; empty if it is complete."""

    @property
    def reference(self) -> str:
        """Returns an id of 16 characters, the same in each export of this account and period."""
        return short_hash(f"{self.account.account_id} {self.first} {self.last}")

    @property
    def name(self) -> str:
        """Returns the account and period for people."""
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.account.display_name}, {days}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A booked transaction, in the account's currency."""

    transaction_id: str
    source_transaction_id: str | None
    booked_on: date
    value_on: date
    amount: Decimal
    original_amount: Decimal | None
    original_currency: str | None
    counterparty_name: str | None
    counterparty_iban: str | None
    description: str | None
    end_to_end_id: str | None
    mandate_number: str | None
    transaction_type: str | None
    reversal_of: str | None
    """The transaction that this one gives back."""

    @property
    def reference(self) -> str:
        """Returns an id of 16 characters, the same in every export."""
        return short_hash(self.transaction_id)


def short_hash(text: str) -> str:
    """Returns 16 capital hexadecimal digits that a text always has."""
    return sha256(text.encode()).hexdigest()[:16].upper()


def digits(amount: Decimal, currency: str) -> str:
    """Returns an amount without its sign: with two decimals, none where the currency has none, more where they are needed."""
    size = abs(amount)
    if currency in WHOLE_UNITS and size == int(size):
        return str(int(size))
    cents = size.quantize(Decimal("0.01"))
    return str(cents if cents == size else size)


def planned(
    connection: "DuckDBPyConnection", selection: Selection, note: Callable[[str], None], *, as_closed: bool = False
) -> list[Statement]:
    """Returns the statements of a selection, by account and day, before anything is written.

    `note` receives which accounts have none, which statements are incomplete, and which show a closed month otherwise than it was
    closed, unless the caller writes those `as_closed`. Raises `WrongUsage` for an unknown account or
    days in the wrong order, `Failure` for statements that are not complete, or whose entries do not lead to the closing balance.
    """
    chosen = account_of(connection, selection.account)["account_id"] if selection.account else None
    statements: list[Statement] = []
    for row in rows_of(connection, _ACCOUNTS, {"account": chosen, "currency": selection.currency}):
        found = _statements_of(connection, row, selection)
        if isinstance(found, list):
            statements += found
        elif chosen:
            raise Failure(f"{row['display_name']} has no statement: {found}", "Other formats hold its transactions")
        else:
            note(f"{row['display_name']} is not in the file: {found}")
    _refuse([one for one in statements if not _adds_up(one)], "its entries do not lead from its opening to its closing balance")
    incomplete = [one for one in statements if one.missing]
    if incomplete and not selection.allow_incomplete:
        _refuse(incomplete, None)
    if not as_closed:
        _note_closed(connection, statements, note)
    for one in incomplete:
        note(f"{one.name} is incomplete: {'; '.join(one.missing)}")
    return statements


def with_entries(connection: "DuckDBPyConnection", statements: list[Statement]) -> Iterator[tuple[Statement, Iterator[Entry]]]:
    """Yields each statement with its entries, by day. The entries have to be taken before the next statement.

    An account is one query, however many statements it has.
    """
    for account, listed in groupby(statements, key=lambda one: one.account):
        periods = list(listed)
        cursor = connection.cursor()
        cursor.execute("use ledger")
        given = {"account": account.account_id, "currency": account.currency}
        found = _Entries(each_row(cursor, _ENTRIES, given | {"first": periods[0].first, "last": periods[-1].last}))
        for one in periods:
            yield one, found.through(one.last)


class _Entries:
    """Entries of an account, by day, taken in parts."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._entries = (Entry(**row) for row in rows)
        self._next = next(self._entries, None)

    def through(self, last: date) -> Iterator[Entry]:
        """Yields the entries that were not taken yet, through a day."""
        while self._next is not None and self._next.booked_on <= last:
            yield self._next
            self._next = next(self._entries, None)


def _statements_of(connection: "DuckDBPyConnection", row: dict[str, Any], selection: Selection) -> list[Statement] | str:
    """Returns the statements of an account, or the reason why it has none."""
    if row["currency"] is None:
        return "its currency is not known"
    first, last = selection.first or row["first_day"], selection.last or row["last_day"]
    if first is None or last is None or (last < first and None in (selection.first, selection.last)):
        return "none of these days of it is known and over"
    days = rows_of(connection, _BALANCES, {"account": row["account_id"]})
    if any(day["closing_balance"] is None for day in days) or (not days and row["balance"] is None):
        return "its balance is not known"
    balances = Balances(days, row["balance"])
    certificate = prove.certificate(connection, row["account_id"], first, last)
    given = {"account": row["account_id"], "currency": row["currency"], "first": first, "last": last}
    booked = rows_of(connection, _TOTALS, given)
    return [
        Statement(
            account=_account(row),
            first=begin,
            last=end,
            opening=balances.before(begin),
            closing=balances.after(end),
            totals=_totals([day for day in booked if begin <= day["day"] <= end]),
            sequence=int(f"{begin:%y%j}" if selection.per == "day" else f"{begin:%y%m}"),
            missing=missing_of(certificate, begin, end),
        )
        for begin, end in _periods(first, last, selection.per)
    ]


def _account(row: dict[str, Any]) -> Account:
    is_card = row["account_type"] == "card"
    return Account(
        account_id=row["account_id"],
        source=row["source"],
        iban=None if is_card or not row["iban"] else row["iban"].replace(" ", "").upper(),
        is_card=is_card,
        currency=row["currency"],
        display_name=row["display_name"],
        owner_name=row["owner_name"],
        institution=row["institution"],
        bic=row["bic"],
    )


class Balances:
    """The balance of an account before and after any day: it stands still on days without movements."""

    def __init__(self, days: list[dict[str, Any]], reported: Decimal) -> None:
        self._days: list[date] = [one["day"] for one in days]
        self._closings: list[Decimal] = [one["closing_balance"] for one in days]
        self._first: Decimal = days[0]["opening_balance"] if days else reported

    def before(self, day: date) -> Decimal:
        """Returns the balance before the first movement of a day."""
        return self._at(bisect_left(self._days, day))

    def after(self, day: date) -> Decimal:
        """Returns the balance after the last movement of a day."""
        return self._at(bisect_right(self._days, day))

    def _at(self, place: int) -> Decimal:
        return self._closings[place - 1] if place else self._first


def _periods(first: date, last: date, per: Literal["day", "month"] | None) -> list[tuple[date, date]]:
    """Returns the first and the last day of each period; the first and the last month may be parts."""
    if per is None:
        return [(first, last)]
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    parts = [list(part) for _, part in groupby(days, key=lambda day: day if per == "day" else (day.year, day.month))]
    return [(part[0], part[-1]) for part in parts]


def _totals(days: list[dict[str, Any]]) -> Totals:
    nothing = Decimal("0.00")
    return Totals(
        credits=sum(day["credits"] for day in days),
        credited=sum((day["credited"] for day in days), nothing),
        debits=sum(day["debits"] for day in days),
        debited=sum((day["debited"] for day in days), nothing),
    )


def missing_of(certificate: prove.Certificate, first: date, last: date) -> tuple[str, ...]:
    """Returns what the certificate misses on some of these days."""
    found = [one for one in certificate.missing if _first_day(one) <= last and _last_day(one) >= first]
    return tuple(prove.sentence(one, certificate.account["currency"]) for one in found)


def _first_day(one: prove.Missing) -> date:
    match one:
        case prove.Stretch():
            return one.from_on
        case prove.Difference():
            return one.since or one.day
        case _:
            return one.day


def _last_day(one: prove.Missing) -> date:
    return one.to_on if isinstance(one, prove.Stretch) else one.day


def _adds_up(one: Statement) -> bool:
    return one.opening + one.totals.credited + one.totals.debited == one.closing


def _note_closed(connection: "DuckDBPyConnection", statements: list[Statement], note: Callable[[str], None]) -> None:
    """Notes each statement whose bank has changed something in a closed month of it: it shows what the bank shows now."""
    changed = rows_of(connection, "select account_id, coalesce(after_on, before_on) as day from closed_month_changes")
    for one in statements if changed else ():
        own = [row for row in changed if row["account_id"] == one.account.account_id and one.first <= row["day"] <= one.last]
        if own:
            note(changed_since_closing(one.name, len(own)))


def changed_since_closing(name: str, transactions: int) -> str:
    """Returns the sentence about closed days that a file shows as the bank shows them now."""
    return f"{name} was closed, and its bank has changed {counted(transactions, 'transaction')} since: the file shows them"


def _refuse(statements: list[Statement], reason: str | None) -> None:
    """Raises `Failure` that names these statements, if there are any."""
    if not statements:
        return
    named = [f"{one.name} ({reason or '; '.join(one.missing)})" for one in statements[:NAMED]]
    if len(statements) > NAMED:
        named.append(f"and {len(statements) - NAMED} more")
    if reason:
        next_step = "`prove` names the difference. Leave these days or the account out, by --from, --to and --account"
        raise Failure(f"No file was written. It would be wrong: {', '.join(named)}", next_step)
    next_step = "Leave these days out, by --from and --to, or add --allow-incomplete"
    raise Failure(f"No file was written. Not complete: {', '.join(named)}", next_step)
