"""What the bank keeps: accounts, and the transactions in them. This is the truth that tests compare with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from threading import RLock
from typing import Literal, NamedTuple

from .people import Customer
from .plans import Bank, Plan
from .values import berlin_midnight, berlin_moment, to_decimal


class Split(NamedTuple):
    """A part of a transaction to which the customer gave a category of its own. Kontist's live service alone shows it."""

    number: int
    """1, 2, … in the order in which they were made; an edited one keeps its number."""
    cents: int
    category: str | None


@dataclass(slots=True, eq=False)
class Transaction:
    """One movement of money, or one reserved by a card and not booked yet. Change it through the `World` only."""

    id: int
    """Kontist shows it and lets it rise with time; Kontomatik never shows one (observed)."""
    account: "Account"
    day: date
    """When the customer paid, in the bank's own time zone."""
    booked_on: date | None
    """When the bank booked it; None while it is pending."""
    cents: int
    """Signed minor units of the account's currency; negative when money leaves."""
    party: str | None = None
    party_iban: str | None = None
    description: str | None = None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    minute: int = 0
    """Minute of the day of a pending row: Kontist shows when a card was used, but books whole days (observed)."""
    original_cents: int | None = None
    original_currency: str | None = None
    e2e_id: str | None = None
    category: str | None = None
    mandate: str | None = None
    invoice: int | None = None
    symbol: str | None = None
    splits: tuple[Split, ...] = ()
    settles: "Transaction | None" = None
    """What a pending row will be booked as, on its day, if it is not changed: another id, perhaps another amount."""
    balance_cents: int | None = None

    @property
    def amount(self) -> Decimal:
        return to_decimal(self.cents)

    @property
    def status(self) -> Literal["booked", "pending"]:
        return "pending" if self.booked_on is None else "booked"

    @property
    def at(self) -> datetime:
        """Returns the instant Kontist shows: Berlin midnight of the booking day, or the moment a card was used."""
        return berlin_moment(self.day, self.minute) if self.booked_on is None else berlin_midnight(self.booked_on)

    @property
    def balance_after(self) -> Decimal | None:
        """Returns the account's booked balance after this row; None while it is pending."""
        self.account.newest_first()
        return None if self.balance_cents is None else to_decimal(self.balance_cents)

    @property
    def moment(self) -> tuple[int, int]:
        """Returns the sort key of both banks' lists, oldest first."""
        return (self.booked_on or self.day).toordinal() * 1440 + self.minute, self.id


class Totals(NamedTuple):
    """What an account holds, as exact sums in its own currency. The opening balance is not in them."""

    booked_count: int
    booked_sum: Decimal
    pending_count: int
    pending_sum: Decimal


class Account:
    """One account or card, its books kept in order. Its history is made at the first request."""

    def __init__(self, plan: Plan, lock: RLock, fill: "Callable[[Account], Iterable[Transaction]]") -> None:
        self.plan = plan
        self.bank: Bank = plan.bank
        self.name = plan.name
        self.currency = plan.currency
        self.iban = plan.iban
        """None for one account; a card repeats its settlement account's (observed)."""
        self.number = plan.number
        """Kontist: the integer id, as text. Kontomatik: an internal number, or a card's masked number, or None."""
        self.kind = plan.kind
        self.owners: tuple[Customer, ...] = plan.owners
        self._lock = lock
        self._fill = fill
        self._rows: dict[int, Transaction] | None = None
        self._ordered: list[Transaction] | None = None
        self._sums = (0, 0, 0, 0)
        self.version = 0
        """Rises with every change: what was rendered for an older one is stale."""

    def __repr__(self) -> str:
        return f"<Account {self.bank} {self.key}>"

    @property
    def key(self) -> str:
        """Returns what names the account in `World.totals()`: its IBAN if it has one of its own, else its number or name."""
        return (self.iban if self.kind == "account" else None) or self.number or self.name

    @property
    def rows(self) -> dict[int, Transaction]:
        """Returns the rows by id, in no order. Whoever changes it calls `changed`."""
        with self._lock:
            if self._rows is None:
                self._rows = {row.id: row for row in self._fill(self)}
            return self._rows

    def changed(self) -> None:
        self._ordered = None
        self.version += 1

    def newest_first(self) -> list[Transaction]:
        """Returns all rows, pending ones too, by day and then id, latest first. Running balances are right after this."""
        with self._lock:
            if self._ordered is None:
                self._ordered = self._in_order()
            return self._ordered

    def _in_order(self) -> list[Transaction]:
        ordered = sorted(self.rows.values(), key=lambda row: row.moment)
        booked, booked_sum, pending_sum, balance = 0, 0, 0, self.plan.opening
        for row in ordered:
            if row.booked_on is None:
                pending_sum += row.cents
                row.balance_cents = None
            else:
                booked += 1
                booked_sum += row.cents
                balance += row.cents
                row.balance_cents = balance
        self._sums = (booked, booked_sum, len(ordered) - booked, pending_sum)
        ordered.reverse()
        return ordered

    @property
    def transactions(self) -> list[Transaction]:
        """Returns the rows, newest first, as a list of your own."""
        return list(self.newest_first())

    @property
    def opening(self) -> Decimal:
        """Returns the balance before the first row. Constant."""
        return to_decimal(self.plan.opening)

    @property
    def balance_cents(self) -> int:
        """Returns the balance of booked rows only: a pending one has not moved yet."""
        self.newest_first()
        return self.plan.opening + self._sums[1]

    @property
    def available_cents(self) -> int:
        """Returns the amount that may be spent now: the balance, less what is reserved, plus a card's limit."""
        self.newest_first()
        return self.balance_cents + self._sums[3] + self.plan.limit

    @property
    def balance(self) -> Decimal:
        return to_decimal(self.balance_cents)

    @property
    def available_balance(self) -> Decimal:
        return to_decimal(self.available_cents)

    def totals(self) -> Totals:
        self.newest_first()
        booked, booked_sum, pending, pending_sum = self._sums
        return Totals(booked, to_decimal(booked_sum), pending, to_decimal(pending_sum))
