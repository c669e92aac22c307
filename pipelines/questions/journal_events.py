"""The parts of a journal: accounts, prices, entries of double entry, and the balances that a bank gave."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal


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
    origin: "Origin | None" = None


@dataclass(frozen=True)
class Origin:
    """What an entry is about: a movement of an account, its opening balance or a difference, or a correction of one of these."""

    account_id: str
    kind: Literal["transaction", "opening", "difference"]
    entry: str
    """The id of the transaction, `opening`, or the day of the difference."""
    movement_on: date
    """Earlier than the day of the entry in a correction."""
    bank_legs: int = 1
    """Number of legs of the bank account; they come first."""
    is_correction: bool = False


@dataclass(frozen=True)
class Balance:
    """What an account holds at the end of a day, as its bank says."""

    day: date
    account: str
    holds: Money


Event = Head | Opened | Price | Entry | Balance


def one_line(text: str) -> str:
    """Returns text on one line: what cannot be printed is a blank."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
