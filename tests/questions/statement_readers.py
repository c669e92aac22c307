"""Statements as programs that others wrote read them, each in the same form."""

import warnings
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import mt940
from ofxtools.Parser import OFXTree
from pycamt.parser import Camt053Parser

OPTIONS = mt940.Options(reversal_sign=True, applicant_iban=True, merge_keeps_values=True)


@dataclass(frozen=True)
class Read:
    """A statement: its balances, and day and amount of each entry."""

    opening: Decimal
    closing: Decimal
    entries: list[tuple[date, Decimal]] = field(default_factory=list)


def camt053_statements(path: Path) -> list[Read]:
    """The statements of a camt.053 document. The reader gives the entries of all in one list: they are in the first."""
    parser = Camt053Parser.from_file(path)
    entries = [(date.fromisoformat(one["BookingDate"]), _signed(one)) for one in parser.get_transactions()]
    found = [Read(_cents(one["OpeningBalance"]), _cents(one["ClosingBalance"])) for one in parser.get_statement_info()]
    found[0].entries.extend(entries)
    return found


def camt053_entries(path: Path) -> list[dict[str, Any]]:
    """The entries of a camt.053 document, as the reader calls their fields."""
    found: list[dict[str, Any]] = Camt053Parser.from_file(path).get_transactions()
    return found


def mt940_messages(path: Path) -> list[Any]:
    """The messages of an MT940 file, as the reader has them."""
    return list(mt940.parse_statements(path.read_bytes(), encoding="ascii", options=OPTIONS))


def mt940_statements(path: Path) -> list[Read]:
    """The statements of an MT940 file."""
    return [
        Read(
            one.data["final_opening_balance"].amount.amount,
            one.data["final_closing_balance"].amount.amount,
            [(_day(row.data["entry_date"]), row.data["amount"].amount) for row in one.transactions if "amount" in row.data],
        )
        for one in mt940_messages(path)
    ]


def ofx_statements(path: Path) -> list[Read]:
    """The statements of an OFX file."""
    return [
        Read(
            one.ballist[0].value,
            one.ledgerbal.balamt,
            [(row.dtposted.date(), row.trnamt) for row in one.transactions],
        )
        for one in ofx(path).statements
    ]


def ofx(path: Path) -> Any:
    """An OFX file, as the reader has it."""
    tree = OFXTree()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree.parse(path)
    return tree.convert()


def _signed(entry: dict[str, Any]) -> Decimal:
    amount = Decimal(entry["Amount"])
    return -amount if entry["CreditDebitIndicator"] == "DBIT" else amount


def _cents(shown: str) -> Decimal:
    return Decimal(shown).quantize(Decimal("0.01"))


def _day(found: Any) -> date:
    return date(found.year, found.month, found.day)
