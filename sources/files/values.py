"""Values of account statements in any format, and the error for a file that is not read."""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation

LARGEST_AMOUNT = Decimal(10) ** 16
"""Amounts are below this, since raw history holds 16 digits before the point."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
"""A number as XML allows it. Python's `Decimal` also takes powers, underscores and digits of other scripts."""
LONGEST_TEXT = 1 << 16
"""The largest number of characters in one text of an entry."""


class FileRefused(Exception):
    """A file that is not read: `cause` names the fault and its place, `next_step` the remedy. No text holds a row's value."""

    def __init__(self, cause: str, next_step: str = "") -> None:
        self.cause = cause
        self.next_step = next_step
        super().__init__(cause)


@dataclass(frozen=True)
class Balance:
    """A booked balance, signed."""

    day: date
    amount: Decimal
    intermediate: bool = False
    """Whether it is the end of a page, and not of a statement."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One booked entry, signed: money out is negative."""

    place: str
    """Where it stands in the file."""
    booked_on: date
    value_on: date | None
    amount: Decimal
    counterparty_name: str | None = None
    counterparty_iban: str | None = None
    description: str | None = None
    end_to_end_id: str | None = None
    mandate_number: str | None = None
    transaction_type: str | None = None
    reference: str | None = None
    is_reversal: bool = False


@dataclass(kw_only=True)
class Page:
    """One statement of one account, or one page of it. A CSV file is one page without balances."""

    place: str
    number: str | None
    """The account's number as the file gives it; None: the file names no account."""
    currency: str | None
    reference: str = ""
    opening: Balance | None = None
    closing: Balance | None = None
    first: date | None = None
    """First day, where the file says it."""
    last: date | None = None
    entries: list[Entry] = field(default_factory=list)
    institution: str | None = None
    left_out: int = 0
    """Entries that are not booked."""


@dataclass(frozen=True)
class Document:
    """One file: its format for people, and its pages in their order."""

    form: str
    pages: list[Page]
    own: bool = False
    """Whether `export` wrote it: its balances are the ledger's, and not the bank's."""


def money(text: str | None, place: str) -> Decimal:
    """Returns an unsigned amount with a point. Raises `FileRefused` for what is no exact number of cents."""
    try:
        shown = (text or "").strip()
        found = Decimal(shown if _NUMBER.fullmatch(shown) else "")
        whole = found.quantize(Decimal("0.01"))
    except InvalidOperation:
        raise FileRefused(f"{place}: its amount is not a number", "Ask the bank for the file again") from None
    if found != whole or not 0 <= whole < LARGEST_AMOUNT:
        raise FileRefused(f"{place}: its amount has parts of a cent, a sign or too many digits", "The ledger holds cents")
    return whole


def filled(text: str | None) -> str | None:
    """Returns text without the space around it, None for an empty one."""
    return (text or "").strip() or None
