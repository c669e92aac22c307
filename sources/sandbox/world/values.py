"""Money, account numbers and days, as both banks write them."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = date(2024, 9, 1)
"""The day every account was opened. Fixed, so that history does not move when the days pass."""


class Dice:
    """Random numbers that depend on the key alone: the same on every machine, Python and day."""

    __slots__ = ("_bits",)

    def __init__(self, *key: object) -> None:
        self._bits = int.from_bytes(blake2b(repr(key).encode(), digest_size=64).digest(), "big")

    def below(self, limit: int) -> int:
        """Returns a whole number from 0 to `limit` - 1. Some 30 draws of four digits are in one set of dice."""
        self._bits, drawn = divmod(self._bits, limit)
        return drawn


def to_decimal(cents: int) -> Decimal:
    """Returns minor units as an exact amount with two decimals: -1299 is -12.99."""
    return Decimal(cents).scaleb(-2)


def to_cents(amount: Decimal | str | int) -> int:
    """Returns an amount in minor units. Raises `ValueError` where it has more than two decimals; a float is refused."""
    if isinstance(amount, float):
        raise TypeError("money is never a float")
    cents = Decimal(amount).scaleb(2)
    if cents != int(cents):
        raise ValueError("an amount has two decimals at most")
    return int(cents)


def money_text(cents: int) -> str:
    """Returns plain decimal with two places, as Kontomatik writes it (observed): -1299 is "-12.99"."""
    units, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{units}.{rest:02d}"


def iban(country: str, bban: str) -> str:
    """Returns the IBAN of a domestic account number, with right check digits (ISO 13616, modulo 97)."""
    digits = "".join(str(int(letter, 36)) for letter in bban + country)
    return f"{country}{98 - int(digits + '00') % 97:02d}{bban}"


def german_iban(account: int) -> str:
    """Returns an account of a German bank that does not exist."""
    return iban("DE", f"99999999{account:010d}")


def polish_iban(account: int) -> str:
    """Returns an account of a Polish bank that does not exist; the eighth digit of its sorting code checks the first seven."""
    bank = "9999000"
    weighted = sum(int(digit) * weight for digit, weight in zip(bank, (3, 9, 7, 1, 3, 9, 7), strict=True))
    return iban("PL", f"{bank}{-weighted % 10}{account:016d}")


def czech_iban(account: int) -> str:
    """Returns an account of a Czech bank that does not exist; `account` is nine digits, the tenth checks them modulo 11."""
    while True:
        weighted = sum(int(digit) * weight for digit, weight in zip(f"{account:09d}", (6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True))
        check = -weighted % 11
        if check < 10:  # ten has no digit: the bank skips such a number, and so do we
            return iban("CZ", f"9999000000{account:09d}{check}")
        account += 1


@lru_cache(maxsize=4096)
def berlin_midnight(day: date) -> datetime:
    """Returns the instant a booking day begins in Berlin: 22:00 UTC the day before in summer, 23:00 in winter (observed)."""
    return datetime.combine(day, time(), BERLIN).astimezone(UTC)


def berlin_moment(day: date, minute: int) -> datetime:
    """Returns the instant of a minute of a Berlin day, in UTC."""
    return (datetime.combine(day, time(), BERLIN) + timedelta(minutes=minute)).astimezone(UTC)


@lru_cache(maxsize=4096)
def escape(text: str) -> str:
    """Returns `text` inside an XML element or a double-quoted attribute."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
