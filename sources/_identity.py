"""How an account is recognised again, whatever session, consent or dialect it was read through."""

import hashlib
import re

from stdnum import iban as iban_rules

_POLISH_DOMESTIC = re.compile(r"\d{26}")


def normal_iban(text: str | None) -> str | None:
    """Returns `text` as a valid IBAN in capitals without spaces, or None. A Polish domestic number (26 digits) gets its `PL`."""
    compact = re.sub(r"[\s-]", "", text or "").upper()
    if _POLISH_DOMESTIC.fullmatch(compact):
        compact = f"PL{compact}"
    return compact if compact and iban_rules.is_valid(compact, check_country=False) else None


def account_id(source: str, *parts: str) -> str:
    """Returns `source:` and 16 hex digits made of what names the account: IBAN and currency, else institution and number.

    A hash, so that cursors, logs and commands can name an account without showing its IBAN.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{source}:{digest[:16]}"


def tail(text: str | None) -> str:
    """Returns the last four characters of an account number, which are shown to people."""
    return f"…{text[-4:]}" if text else "without a number"
