"""How values are written on the page. What a bank sends is one short line of text, and no account number in it is whole."""

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal

from pipelines.text.sinks import line

LONGEST = 200
"""Characters of a bank's text: a page is no place for ten thousand."""
TOWER = 4
"""Marks on one letter: more of them, which no language needs, are drawn over the rows above and below."""
NOTHING = "–"
_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")
"""What may be an IBAN, or begin with one: its check digits decide."""
_NUMBER = re.compile(r"(?<!\d)\d(?:[ \u00a0-]?\d){12,33}(?!\d)")
"""Numbers of cards, and of accounts without a country."""
_REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18"
    " FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20"
    " LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31"
    " SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_LENGTHS = {country: int(length) for country, length in re.findall(r"([A-Z]{2})(\d{2})", _REGISTRY)}
"""Characters of an IBAN by country (registry of ISO 13616): words after one look like more of it."""
_SHORTEST_NUMBER = 13
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GROUPS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


def shown(value: object) -> object:
    """Returns what a template may show of a value: every text as one short line without a complete account number."""
    return text(value) if type(value) is str else value


def text(value: str) -> str:
    """Returns a text of a bank as one line, cut where it is too long. Of an account number only the end stays."""
    value = _without_towers(value[: 2 * LONGEST + 1])
    if len(value) < _SHORTEST_NUMBER:
        return line(value)
    if len(value) > LONGEST:
        value = _without_numbers(value[: 2 * LONGEST])
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


def seconds(value: Decimal | None) -> str:
    """Returns a time as `2.5 s`; a dash where none is known."""
    return NOTHING if value is None else f"{value:,.1f} s"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, such as `1 account` or `4,390 transactions`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _without_towers(value: str) -> str:
    """Returns a text with a few marks on each letter; `…` stands for the others."""
    if value.isascii():
        return value
    kept, marks = [], 0
    for sign in value:
        marks = marks + 1 if unicodedata.category(sign) in ("Mn", "Me") else 0
        if marks <= TOWER + 1:
            kept.append(sign if marks <= TOWER else "…")
    return "".join(kept)


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
    """Returns the length of the IBAN that this begins with, blanks included; 0 if it is none."""
    length = _LENGTHS.get(begin[:2].upper(), 0)
    signs = [place for place, sign in enumerate(begin, 1) if sign.isalnum()]
    if not length or len(signs) < length:
        return 0
    number = "".join(begin[place - 1] for place in signs[:length]).upper()
    return signs[length - 1] if _is_iban(number) else 0


def _is_iban(number: str) -> bool:
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1
