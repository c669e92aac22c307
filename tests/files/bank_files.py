"""Account statements as banks write them, by hand: nothing here is the program's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

IBAN, OTHER_IBAN = "DE89370400440532013000", "MT84MALT011000012345MTLCAST001S"
ONE_DAY = timedelta(days=1)

Row = tuple[date, Decimal, str]
"""Day, signed amount, purpose."""


@dataclass(frozen=True)
class Stated:
    """A statement: its days, what stood on the account before them, and its entries."""

    first: date
    last: date
    opening: Decimal
    rows: list[Row] = field(default_factory=list)

    @property
    def closing(self) -> Decimal:
        """The balance after its entries."""
        return self.opening + sum((amount for _, amount, _ in self.rows), Decimal(0))


def stated(rows: Sequence[Row], first: date, last: date, opening: Decimal) -> Stated:
    """The statement of these days of a history that began with `opening`."""
    before = sum((amount for day, amount, _ in rows if day < first), opening)
    return Stated(first, last, before, [row for row in rows if first <= row[0] <= last])


def monthly(rows: Sequence[Row], first: date, last: date, opening: Decimal) -> list[Stated]:
    """A statement of each month of these days."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    parts = [list(part) for _, part in groupby(days, key=lambda day: (day.year, day.month))]
    return [stated(rows, part[0], part[-1], opening) for part in parts]


def camt053(*statements: Stated, iban: str = IBAN, currency: str = "EUR", version: str = "08") -> str:
    """A document with these statements, without the days of their period: many banks leave them out."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}">'
        "<BkToCstmrStmt><GrpHdr><MsgId>1</MsgId><CreDtTm>2026-01-01T00:00:00Z</CreDtTm></GrpHdr>"
        f"{''.join(stmt(one, number, iban, currency) for number, one in enumerate(statements, start=1))}"
        "</BkToCstmrStmt></Document>"
    )


def stmt(one: Stated, number: int = 1, iban: str = IBAN, currency: str = "EUR") -> str:
    """One statement of a document."""
    return (
        f"<Stmt><Id>{number}</Id><Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>{currency}</Ccy></Acct>"
        f"{balance('PRCD', one.opening, one.first - ONE_DAY, currency)}{balance('CLBD', one.closing, one.last, currency)}"
        f"{''.join(ntry(day, amount, text, currency) for day, amount, text in one.rows)}</Stmt>"
    )


def balance(code: str, amount: Decimal, day: date, currency: str = "EUR") -> str:
    """A balance of a statement."""
    return f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{money(amount, currency)}<Dt><Dt>{day}</Dt></Dt></Bal>"


def ntry(day: date, amount: Decimal, text: str = "", currency: str = "EUR", *, more: str = "", status: str = "BOOK") -> str:
    """An entry of a statement."""
    details = f"<NtryDtls><TxDtls><RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls></NtryDtls>" if text else ""
    return (
        f"<Ntry>{money(amount, currency)}<Sts><Cd>{status}</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt>"
        f"<ValDt><Dt>{day}</Dt></ValDt>{more or details}</Ntry>"
    )


def money(amount: Decimal, currency: str) -> str:
    """An amount with its direction."""
    return f'<Amt Ccy="{currency}">{abs(amount)}</Amt><CdtDbtInd>{"DBIT" if amount < 0 else "CRDT"}</CdtDbtInd>'


def mt940(*statements: Stated, account: str = "37040044/0532013000", currency: str = "EUR") -> str:
    """Messages with these statements, account and bank code as German banks write them."""
    lines: list[str] = []
    for number, one in enumerate(statements, start=1):
        lines += [":20:STARTUMS", f":25:{account}", f":28C:{number:05}/001"]
        lines.append(f":60F:{_mark(one.opening)}{one.first - ONE_DAY:%y%m%d}{currency}{_comma(one.opening)}")
        for day, amount, text in one.rows:
            lines.append(f":61:{day:%y%m%d}{day:%m%d}{_mark(amount)}{_comma(amount)}NTRFNONREF")
            lines.append(f":86:166?00GUTSCHRIFT?20SVWZ+{text}?30COBADEFFXXX?31{OTHER_IBAN}?32Muster GmbH")
        lines.append(f":62F:{_mark(one.closing)}{one.last:%y%m%d}{currency}{_comma(one.closing)}")
        lines.append("-")
    return "\r\n".join(lines) + "\r\n"


def csv(rows: Iterable[Row]) -> str:
    """A CSV file as a German bank writes it, the newest row first."""
    listed = [f"{day:%d.%m.%Y};{text};{_thousands(amount)};EUR" for day, amount, text in rows]
    return "\r\n".join(["Umsätze", "Buchungstag;Verwendungszweck;Betrag;Währung", *reversed(listed)]) + "\r\n"


MAPPING = """
encoding = "cp1252"
skip_lines = 1
date_format = "%d.%m.%Y"
[columns]
booked_on = "Buchungstag"
amount = "Betrag"
currency = "Währung"
description = "Verwendungszweck"
"""
"""The mapping of that file."""


def _mark(amount: Decimal) -> str:
    return "D" if amount < 0 else "C"


def _comma(amount: Decimal) -> str:
    return f"{abs(amount):.2f}".replace(".", ",")


def _thousands(amount: Decimal) -> str:
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))
