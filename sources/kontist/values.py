"""Kontist's JSON values as columns hold them: whole numbers, UTC microseconds, Berlin days, text."""

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
LARGEST_CENTS = 10**15
"""Amounts below it, ten trillion, leave the ledger's DECIMAL(18, 2) room for sums and for hundredths."""
LARGEST_ORIGINAL = 10**15
"""Amounts in minor units below it fit the ledger's DECIMAL(18, 3), also of a currency without minor units."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = 0
_LATEST = int((datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000


def cents(value: Any) -> int | None:
    """Returns a whole number of minor units, or None. A fraction, an exponent, a text or a truth is not one."""
    return value if type(value) is int and -LARGEST_CENTS < value < LARGEST_CENTS else None


def original_minor(value: Any) -> int | None:
    """Returns the minor units of `originalAmount`: a text of digits, perhaps signed (vendor document), or a number; else None."""
    if type(value) is str and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        value = int(value)
    return value if type(value) is int and -LARGEST_ORIGINAL < value < LARGEST_ORIGINAL else None


def instant(value: Any) -> int | None:
    """Microseconds since 1970, UTC, or None if `value` is not a moment between 1970 and 2199.

    ISO 8601 with `Z` or an offset (vendor document), or milliseconds since 1970 as a text (observed once) or a number.
    A date without a zone is not a moment.
    """
    if type(value) is int:
        value = str(value) if 0 <= value < 10**14 else ""
    return _instant(value) if type(value) is str else None


@lru_cache(maxsize=1 << 16)  # booked rows all say midnight: few texts, often repeated
def _instant(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        micros = int(text) * 1000 if 12 <= len(text) <= 14 else -1  # fewer digits are seconds, or a plain date
    else:
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except (ValueError, TypeError, OverflowError):  # TypeError: no zone
            return None
        micros = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    return micros if _EARLIEST <= micros < _LATEST else None


def berlin_day(micros: int) -> int:
    """Returns the day in Berlin, in days since 1970.

    A booked row is Berlin's midnight, written as 22:00Z or 23:00Z (observed).
    """
    seconds = micros // 1_000_000
    return (seconds + _offset(seconds // 3600)) // 86_400


@lru_cache(maxsize=1 << 17)
def _offset(hour: int) -> int:
    """Returns seconds that Berlin is ahead of UTC in an hour since 1970; it changes on the hour only."""
    offset = (_EPOCH + timedelta(hours=hour)).astimezone(BERLIN).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def text(value: Any) -> str | None:
    """Returns a text, number or truth as text; None for null and for lists and objects, which go to `extra` whole."""
    return value if type(value) is str else json_text(value) if type(value) in (int, float, bool) else None


def splits_text(value: Any) -> str | None:
    """Returns the splits of a transaction as short JSON, the same text for the same splits; None if it is no list of objects.

    Ordered by the bank's numbers, so that a later split comes last. The number itself and fields without a value are left out.
    """
    if type(value) is not list or not value or not all(type(one) is dict for one in value):
        return None
    return json_text([{name: said for name, said in one.items() if said is not None and name != "id"} for one in _ordered(value)])


def _ordered(splits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def place(split: dict[str, Any]) -> tuple[int, str, str]:
        number = split.get("id")
        return number if type(number) is int else 0, str(split.get("uuid")), json_text(split)

    return sorted(splits, key=place)


def json_text(value: Any) -> str:
    """Returns `value` as short JSON, the same text for the same content."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
