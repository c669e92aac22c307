"""Writes statements as SWIFT MT940 messages, as German banks give them to their customers: field 86 in subfields, CR LF.

An entry has 390 characters for its texts (six lines of 65), a name 54, an amount 15 with its comma. Longer texts are cut, and
counted; a longer amount is refused. A statement is one message, however long: the limit of 2,000 characters is that of SWIFT's
network, not of files. An incomplete statement says so in field 21 (`INCOMPLETE`): a field 86 after the last balance would be the
field for it, but readers add that to the last entry.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.errors import Failure
from pipelines.questions.bank_codes import codes_of
from pipelines.questions.statements import Entry, Statement, digits, with_entries
from pipelines.questions.swift_text import pieces, swift

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REFERENCE, ACCOUNT, AMOUNT, DETAIL = 16, 35, 15, 34
LINES, LINE = 6, 65
SUBFIELD, NUMBER, NAMES, PURPOSES = 27, 34, 2, 10
"""Characters and subfields that the standard and its German form allow."""
_KEYWORD = re.compile(r"\b(EREF|KREF|MREF|CRED|DEBT|PURP|SVWZ|MDAT|ABWA|ABWE|SQTP|ORCR|ORMR|DDAT|COAM|OAMT|IBAN|BIC)\+")
"""What begins a part of the purpose: a payer's text must not."""


def lines(connection: "DuckDBPyConnection", statements: list[Statement], note: Callable[[str], None]) -> Iterator[str]:
    """Yields the file, line by line, without line ends. `note` receives how many entries have texts that are cut.

    Raises `Failure` for an amount of more than 15 characters.
    """
    cut = 0
    for one, listed in with_entries(connection, statements):
        currency = one.account.currency
        yield f":20:{one.reference}"
        if one.missing:
            yield ":21:INCOMPLETE"
        yield f":25:{swift(one.account.iban or one.account.account_id)[-ACCOUNT:]}"
        yield f":28C:{one.sequence:05}/1"
        yield f":60F:{_mark(one.opening)}{one.first - timedelta(days=1):%y%m%d}{currency}{_amount(one.opening, currency)}"
        for entry in listed:
            yield from _booking(entry, currency)
            texts, is_cut = _information(entry)
            cut += is_cut
            yield from texts
        yield f":62F:{_mark(one.closing)}{one.last:%y%m%d}{currency}{_amount(one.closing, currency)}"
        yield "-"
    if cut:
        note(f"{cut} {'entry has' if cut == 1 else 'entries have'} longer texts than MT940 allows; what does not fit is left out")


def _booking(entry: Entry, currency: str) -> Iterator[str]:
    """Yields field 61. A reversed debit is money in (`RD`), a reversed credit money out (`RC`)."""
    mark = _mark(entry.amount)
    if entry.reversal_of:
        mark = "RC" if mark == "D" else "RD"
    days = f"{entry.value_on:%y%m%d}{entry.booked_on:%m%d}"
    references = f"{_reference(entry.end_to_end_id)}//{entry.reference}"
    yield f":61:{days}{mark}{_amount(entry.amount, currency)}N{codes_of(entry).swift}{references}"
    if entry.original_amount is not None and entry.original_currency:
        original = digits(entry.original_amount, entry.original_currency)
        shown = f"/OCMT/{swift(entry.original_currency)}{_with_comma(original)}"
        if len(shown) <= DETAIL:
            yield shown


def _information(entry: Entry) -> tuple[list[str], bool]:
    """Returns field 86 in lines, and whether a text was cut."""
    names = list(pieces(swift(entry.counterparty_name or ""), SUBFIELD))
    number = swift(entry.counterparty_iban or "").replace(" ", "").upper()
    kind = swift(entry.transaction_type or "")
    before = codes_of(entry).german + (f"?00{kind[:SUBFIELD].strip()}" if kind else "")
    after = f"?31{number[:NUMBER]}" if number else ""
    after += "".join(f"?{place}{name}" for place, name in zip((32, 33), names, strict=False))
    purposes = _purposes(entry)
    for count in range(min(len(purposes), PURPOSES), -1, -1):
        middle = "".join(f"?{place}{text}" for place, text in enumerate(purposes[:count], start=20))
        found = list(pieces(f"{before}{middle}{after}", LINE))
        if len(found) <= LINES:
            break
    is_cut = count < len(purposes) or len(names) > NAMES or len(number) > NUMBER or len(kind) > SUBFIELD
    return [f":86:{found[0]}", *found[1:]], is_cut


def _purposes(entry: Entry) -> list[str]:
    """Returns the subfields of the purpose: each part begins one of its own, by its keyword."""
    parts = {"EREF": entry.end_to_end_id, "MREF": entry.mandate_number, "SVWZ": entry.description}
    texts = ((keyword, _KEYWORD.sub(r"\1 ", swift(text or ""))) for keyword, text in parts.items())
    return [piece for keyword, text in texts if text for piece in pieces(f"{keyword}+{text}", SUBFIELD)]


def _reference(text: str | None) -> str:
    """Returns a reference for field 61: no slash at its ends and no two in a row, or `NONREF`."""
    shown = swift(text or "")
    fits = 0 < len(shown) <= REFERENCE and not shown.startswith("/") and not shown.endswith("/") and "//" not in shown
    return shown if fits else "NONREF"


def _mark(amount: Decimal) -> str:
    return "D" if amount < 0 else "C"


def _amount(amount: Decimal, currency: str) -> str:
    shown = _with_comma(digits(amount, currency))
    if len(shown) > AMOUNT:
        raise Failure("An amount has more than 15 characters with its comma: MT940 cannot carry it", "Use --format camt053")
    return shown


def _with_comma(amount: str) -> str:
    return amount.replace(".", ",") if "." in amount else f"{amount},"
