"""Writes statements as ISO 20022 camt.053.001.08, the "bank to customer statement", in one document.

Texts are cut to what the schema allows: a name to 140 characters; a purpose goes on in further lines of 140. A reference longer
than 35 is left out rather than cut, since a part of it would refer to nothing; the whole id of the ledger is in `AddtlTxInf`.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from pipelines.questions.bank_codes import codes_of
from pipelines.questions.statements import Account, Entry, Statement, digits, with_entries
from pipelines.questions.xml_text import plain

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
REFERENCE, NUMBER, NAME, SHORT_NAME, NOTE = 35, 34, 140, 70, 500
"""Characters that the schema allows."""
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ORIGIN = "Written by kontoledger from the movements that the bank showed; not issued by the bank"


def write(connection: "DuckDBPyConnection", path: Path, statements: list[Statement], written_at: datetime) -> None:
    """Writes the document to `path`. `written_at` is when the ledger was published: the same in each export of it."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        document = _Document(XMLGenerator(file, encoding="utf-8", short_empty_elements=True), written_at)
        document.write(connection, statements)
        file.write("\n")


class _Document:
    """Writes elements one after the other, so an export needs no more memory than one entry."""

    def __init__(self, generator: XMLGenerator, written_at: datetime) -> None:
        self._xml = generator
        self._written_at = f"{written_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"

    def write(self, connection: "DuckDBPyConnection", statements: list[Statement]) -> None:
        """Writes the whole document."""
        ids = " ".join([self._written_at, *(one.reference for one in statements)])
        self._xml.startDocument()
        self._open("Document", xmlns=NAMESPACE)
        self._open("BkToCstmrStmt")
        self._open("GrpHdr")
        self._text("MsgId", sha256(ids.encode()).hexdigest()[:32].upper())
        self._text("CreDtTm", self._written_at)
        self._open("MsgPgntn")
        self._text("PgNb", "1")
        self._text("LastPgInd", "true")
        self._close("MsgPgntn")
        self._text("AddtlInf", _ORIGIN)
        self._close("GrpHdr")
        for statement, listed in with_entries(connection, statements):
            self._statement(statement, listed)
        self._close("BkToCstmrStmt", "Document")
        self._xml.endDocument()

    def _statement(self, one: Statement, listed: Iterable[Entry]) -> None:
        currency = one.account.currency
        self._line()
        self._open("Stmt")
        self._text("Id", one.reference)
        self._text("ElctrncSeqNb", str(one.sequence))
        self._text("CreDtTm", self._written_at)
        self._open("FrToDt")
        self._text("FrDtTm", f"{one.first}T00:00:00")
        self._text("ToDtTm", f"{one.last}T23:59:59")
        self._close("FrToDt")
        self._account(one.account)
        self._balance("OPBD", one.opening, currency, str(one.first))
        self._balance("CLBD", one.closing, currency, str(one.last))
        self._summary(one)
        for entry in listed:
            self._line()
            self._entry(entry, currency)
        if one.missing:
            self._text("AddtlStmtInf", f"INCOMPLETE: {'; '.join(one.missing)}", NOTE)
        self._close("Stmt")

    def _account(self, account: Account) -> None:
        self._open("Acct")
        self._number(account.iban, account.account_id)
        self._text("Ccy", account.currency)
        self._text("Nm", account.display_name, SHORT_NAME)
        if account.owner_name:
            self._open("Ownr")
            self._text("Nm", account.owner_name, NAME)
            self._close("Ownr")
        self._open("Svcr", "FinInstnId")
        if account.bic and _BIC.fullmatch(account.bic):
            self._text("BICFI", account.bic)
        self._text("Nm", account.institution, NAME)
        self._close("FinInstnId", "Svcr", "Acct")

    def _number(self, iban: str | None, other: str) -> None:
        """Writes an account's number: its IBAN, or another one where it has none of the right form."""
        self._open("Id")
        if iban and _IBAN.fullmatch(iban):
            self._text("IBAN", iban)
        else:
            self._open("Othr")
            self._text("Id", other[-NUMBER:])
            self._close("Othr")
        self._close("Id")

    def _balance(self, code: str, balance: Decimal, currency: str, day: str) -> None:
        self._open("Bal", "Tp", "CdOrPrtry")
        self._text("Cd", code)
        self._close("CdOrPrtry", "Tp")
        self._amount(balance, currency)
        self._direction(balance)
        self._open("Dt")
        self._text("Dt", day)
        self._close("Dt", "Bal")

    def _summary(self, one: Statement) -> None:
        totals, currency = one.totals, one.account.currency
        net = totals.credited + totals.debited
        self._open("TxsSummry", "TtlNtries")
        self._text("NbOfNtries", str(totals.credits + totals.debits))
        self._text("Sum", digits(totals.credited - totals.debited, currency))
        self._open("TtlNetNtry")
        self._text("Amt", digits(net, currency))
        self._direction(net)
        self._close("TtlNetNtry", "TtlNtries")
        for name, number, amount in (
            ("TtlCdtNtries", totals.credits, totals.credited),
            ("TtlDbtNtries", totals.debits, totals.debited),
        ):
            self._open(name)
            self._text("NbOfNtries", str(number))
            self._text("Sum", digits(amount, currency))
            self._close(name)
        self._close("TxsSummry")

    def _entry(self, entry: Entry, currency: str) -> None:
        self._open("Ntry")
        self._text("NtryRef", entry.reference)
        self._amount(entry.amount, currency)
        self._direction(entry.amount)
        if entry.reversal_of:
            self._text("RvslInd", "true")
        self._open("Sts")
        self._text("Cd", "BOOK")
        self._close("Sts")
        for name, day in (("BookgDt", entry.booked_on), ("ValDt", entry.value_on)):
            self._open(name)
            self._text("Dt", str(day))
            self._close(name)
        self._reference("AcctSvcrRef", entry.source_transaction_id)
        self._codes(entry)
        self._details(entry, currency)
        self._close("Ntry")

    def _codes(self, entry: Entry) -> None:
        codes = codes_of(entry)
        self._open("BkTxCd", "Domn")
        self._text("Cd", codes.domain)
        self._open("Fmly")
        self._text("Cd", codes.family)
        self._text("SubFmlyCd", codes.sub_family)
        self._close("Fmly", "Domn")
        if own := plain(entry.transaction_type or ""):
            self._open("Prtry")
            self._text("Cd", own, REFERENCE)
            self._close("Prtry")
        self._close("BkTxCd")

    def _details(self, entry: Entry, currency: str) -> None:
        self._open("NtryDtls", "TxDtls", "Refs")
        self._reference("AcctSvcrRef", entry.source_transaction_id)
        self._reference("EndToEndId", entry.end_to_end_id or "NOTPROVIDED")
        self._reference("MndtId", entry.mandate_number)
        self._close("Refs")
        self._amount(entry.amount, currency)
        self._direction(entry.amount)
        self._original(entry, currency)
        self._counterparty(entry)
        self._purpose(plain(entry.description or ""))
        if entry.reversal_of:
            self._open("RtrInf")
            self._text("AddtlInf", f"Gives back {entry.reversal_of}", 105)
            self._close("RtrInf")
        self._text("AddtlTxInf", entry.transaction_id, NOTE)
        self._close("TxDtls", "NtryDtls")

    def _original(self, entry: Entry, currency: str) -> None:
        """Writes the amount in the currency in which it was paid. No rate: the bank gives none."""
        foreign = entry.original_currency or ""
        if entry.original_amount is None or not _CURRENCY.fullmatch(foreign):
            return
        self._open("AmtDtls")
        for name, amount, unit in (("InstdAmt", entry.original_amount, foreign), ("TxAmt", entry.amount, currency)):
            self._open(name)
            self._amount(amount, unit)
            self._close(name)
        self._close("AmtDtls")

    def _counterparty(self, entry: Entry) -> None:
        role = "Cdtr" if entry.amount < 0 else "Dbtr"
        name, number = plain(entry.counterparty_name or ""), plain(entry.counterparty_iban or "").replace(" ", "")
        if not name and not number:
            return
        self._open("RltdPties")
        if name:
            self._open(role, "Pty")
            self._text("Nm", name, NAME)
            self._close("Pty", role)
        if number:
            self._open(f"{role}Acct")
            self._number(number.upper(), number)
            self._close(f"{role}Acct")
        self._close("RltdPties")

    def _purpose(self, text: str) -> None:
        if text:
            self._open("RmtInf")
            for start in range(0, len(text), NAME):
                self._text("Ustrd", text[start : start + NAME])
            self._close("RmtInf")

    def _reference(self, name: str, text: str | None) -> None:
        """Writes a reference, unless it is longer than the schema allows."""
        if 0 < len(plain(text or "")) <= REFERENCE:
            self._text(name, text or "")

    def _amount(self, amount: Decimal, currency: str) -> None:
        self._text("Amt", digits(amount, currency), Ccy=currency)

    def _direction(self, amount: Decimal) -> None:
        self._text("CdtDbtInd", "DBIT" if amount < 0 else "CRDT")

    def _text(self, name: str, text: str, longest: int | None = None, **attributes: str) -> None:
        """Writes an element with text; none for an empty text, which the schema does not allow."""
        if shown := plain(text)[:longest]:
            self._xml.startElement(name, AttributesImpl(attributes))
            self._xml.characters(shown)
            self._xml.endElement(name)

    def _open(self, *names: str, **attributes: str) -> None:
        for name in names:
            self._xml.startElement(name, AttributesImpl(attributes))

    def _close(self, *names: str) -> None:
        for name in names:
            self._xml.endElement(name)

    def _line(self) -> None:
        self._xml.ignorableWhitespace("\n")
