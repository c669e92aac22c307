"""What a person types, read strictly before a bank hears of it: amounts, IBANs, names, days."""

import re
from datetime import date
from decimal import Decimal
from typing import TypeVar

from stdnum import iban as iban_rules

from pipelines.errors import WrongUsage
from sources.kontist.values import LARGEST_CENTS

LONGEST_NAME = 70
LONGEST_NOTE = 140
LONGEST_REFERENCE = 35
"""Characters that a SEPA message has for them (EPC rulebooks)."""
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,2})?", re.ASCII)
_ANY = TypeVar("_ANY", str, date)


def cents(text: str) -> int:
    """Returns `12.50` as 1250. Raises `WrongUsage` for a comma, a sign, a third decimal, nothing at all."""
    if not _AMOUNT.fullmatch(text.strip()):
        raise WrongUsage("The amount is not a plain number of euros", "Write it like 12.50: digits, a point, two digits at most")
    found = int(Decimal(text.strip()).scaleb(2))
    if not 0 < found < LARGEST_CENTS:
        raise WrongUsage("The amount is zero or less", "Give the amount to pay, in euros")
    return found


def iban(text: str) -> str:
    """Returns an IBAN in capitals without blanks. Its check digits, and its country's own, are checked: a slip is never sent."""
    compact = re.sub(r"[\s-]", "", text).upper()
    if not compact.isascii() or not iban_rules.is_valid(compact):
        raise WrongUsage("The IBAN is not valid: a digit is wrong or missing", "Compare it with the invoice")
    return compact


def words(text: str, what: str, longest: int) -> str:
    """Returns a text on one line that fits into a SEPA message."""
    shown = text.strip()
    if not shown or len(shown) > longest or not shown.isprintable():
        raise WrongUsage(f"The {what} has to be 1 to {longest} characters on one line", "Correct it")
    return shown


def not_before(day: date, first: date, what: str) -> date:
    """Returns a day that is not over yet."""
    if day < first:
        raise WrongUsage(f"The {what} lies before {first}", "Give a later day")
    return day


def tan(text: str, length: int) -> str | None:
    """Returns the digits of a TAN, or None if their number is wrong: a wrong TAN may lock the account."""
    shown = "".join(text.split())
    return shown if shown.isascii() and shown.isdecimal() and len(shown) == length else None


def euros(amount: int) -> str:
    """Cents as people write them."""
    return f"{amount // 100:,}.{amount % 100:02d} EUR"
