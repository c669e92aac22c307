"""How values are written on the page. What a bank sends is one short line of text, and no account number in it is whole."""

import re
from datetime import date, datetime
from decimal import Decimal

from pipelines.text.sinks import line

LONGEST = 200
"""Characters of a bank's text: a page is no place for ten thousand."""
NOTHING = "–"
_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")
"""What may be an IBAN, or begin with one: its check digits decide."""
_NUMBER = re.compile(r"(?<!\d)\d(?:[ \u00a0-]?\d){12,33}(?!\d)")
"""Numbers of cards, and of accounts without a country."""
_SHORTEST_IBAN, _SHORTEST_NUMBER = 15, 13
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GROUPS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


def shown(value: object) -> object:
    """Returns what a template may show of a value: every text as one short line without a complete account number."""
    return text(value) if type(value) is str else value


def text(value: str) -> str:
    """Returns a text of a bank as one line, cut where it is too long. Of an account number only the end stays."""
    if len(value) < _SHORTEST_NUMBER:
        return line(value)
    if len(value) > LONGEST:
        value = _without_numbers(value[: 3 * LONGEST])
        value = value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
    else:
        value = _without_numbers(value)
    return line(value)


def money(amount: Decimal | None) -> str:
    """Returns an amount as `-1,234.50`; a dash where none is known. The currency stands beside it."""
    return NOTHING if amount is None else f"{amount:,.2f}"


def compact(amount: Decimal) -> str:
    """Returns an amount for an axis, such as `20k`; three digits, and no more exact than that."""
    for unit, sign in _GROUPS:
        if abs(amount) >= unit:
            return f"{(amount / unit).normalize():f}{sign}"
    return f"{amount.normalize():f}"


def day(value: date | None) -> str:
    """Returns a day as `30 Nov 2026`."""
    return NOTHING if value is None else f"{value.day} {_MONTHS[value.month]} {value.year}"


def month(value: date) -> str:
    """Returns a month as `Nov 2026`."""
    return f"{_MONTHS[value.month]} {value.year}"


def short_month(value: date) -> str:
    """Returns a month as `Nov ’26`."""
    return f"{_MONTHS[value.month]} ’{value.year % 100:02}"


def short_day(value: date) -> str:
    """Returns a day as `30 Nov`."""
    return f"{value.day} {_MONTHS[value.month]}"


def moment(value: datetime | None) -> str:
    """Returns a moment as `30 Nov 2026 03:52 UTC`; the ledger's connection speaks UTC."""
    return NOTHING if value is None else f"{day(value)} {value:%H:%M} UTC"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, such as `1 account` or `4,390 transactions`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _without_numbers(value: str) -> str:
    place = 0
    while found := _IBAN.search(value, place):
        place = found.start() + 1
        if length := _length_of_iban(found[0]):
            end = found.start() + length
            value = f"{value[: found.start()]}{_end(value[found.start() : end])}{value[end:]}"
    return _NUMBER.sub(lambda number: _end(number[0]), value)


def _end(number: str) -> str:
    return f"…{''.join(sign for sign in number if sign.isalnum())[-4:]}"


def _length_of_iban(begin: str) -> int:
    """Returns the length of the IBAN that this begins with, blanks included; 0 if it is none. Words after it look like more."""
    signs = [place for place, sign in enumerate(begin, 1) if sign.isalnum()]
    number = "".join(begin[place - 1] for place in signs)
    lengths = range(len(number), _SHORTEST_IBAN - 1, -1)
    return next((signs[length - 1] for length in lengths if _is_iban(number[:length])), 0)


def _is_iban(number: str) -> bool:
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1
