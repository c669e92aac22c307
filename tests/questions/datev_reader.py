"""Reads a batch for DATEV by the vendor's description alone (developer.datev.de: header, posting batch), and refuses all else.

Each field has the expression that the description gives it. A field without a value is empty, or two quotes where its expression
has quotes. Nothing here comes from the writer.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

_FIELD = re.compile(r'"(?:[^"]|"")*"|[^;"]*')
_DAY = r"\d{8}"
_HEADER = [
    '"EXTF"', "700", "21", '"Buchungsstapel"', "13", r"\d{17}", "", r'"\w{0,2}"', r'"\w{0,25}"', r'"\w{0,25}"', r"\d{4,7}",
    r"\d{1,5}", _DAY, "[4-8]", _DAY, _DAY, r'"[\w./ ]{0,30}"', r'"([A-Z]{2}){0,2}"', "[12]", "0|30|40|50|64", "[01]",
    '"[A-Z]{3}"', "", '""', "", "", r'"\d{2}"', r"\d{0,4}", "", '""', '".{0,16}"',
]  # fmt: skip
_LONG_DAY = r"(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])20\d\d"
_ACCOUNT = r"(?!0+$)\d{1,9}"
_MONEY = r"(?!0+,00$)\d{1,10},\d{2}"


def _text(longest: int) -> str:
    return f'"(?:[^"]|""){{0,{longest}}}"'


def _pairs(number: int) -> list[str]:
    return [_text(20), _text(210)] * number


_COLUMNS = [
    _MONEY, '"[SH]"', '"[A-Z]{3}"', r"[1-9]\d{0,3},\d{2,6}", _MONEY, '"[A-Z]{3}"', _ACCOUNT, _ACCOUNT, r'"\d{1,4}"', r"\d{4}",
    r'"[A-Za-z0-9$%\-/]{0,36}"', r'"[\w$%\-/]{0,12}"', r"[1-9]\d{0,7},\d{2}", _text(60), "[01]", r'"\w{0,9}"', r"\d{3}", r"\d{2}",
    "[01]", _text(210), *_pairs(8), r'"[\w ]{0,36}"', r'"[\w ]{0,36}"', r"\d{12},\d{4}", _text(15), r"\d\d,\d\d",
    '"[IKPS]"', r"\d{1,3}", r"\d{0,3}", r"\d", r"\d{0,2}", r"\d{0,3}", *_pairs(20), r"\d{0,8}", r"\d{1,8},\d{2}",
    r"\d{0,2}", r'"\w{0,10}"', r"20\d\d", _LONG_DAY, r"\d", _text(30), '"[A-Z]{2}"', r"\d{0,4}", '"[A-Z]{2}"', r"\d{0,3}",
    r"\d{1,2},\d{2}", r"\d{4,8}", '"[A-Z]{2}"', _text(36), _LONG_DAY, _text(35), "[01]", _text(76), r"\d{4}", _text(11),
    _text(20), _LONG_DAY, _text(30), r"\d{1,2}", "[01]", _LONG_DAY, _LONG_DAY, _LONG_DAY, '"[01G]"', r"\d{1,2},\d{2}",
    '"[A-Z]{2}"', _text(50), "[1-5]", _text(15), r"\d\d,\d\d", r"\d{1,9}",
]  # fmt: skip
_NEEDED = {1, 2, 7, 8, 10, 114}
"""Columns that must hold something; without the last one an import locks the batch by itself."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A posting. The amount is positive where it is a debit of `account`."""

    amount: Decimal
    account: str
    counter_account: str
    bu_key: str
    day: date
    document: str
    text: str
    about: dict[str, str]
    is_locked: bool


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A file."""

    consultant: str
    client: str
    fiscal_year: date
    account_length: int
    first: date
    last: date
    label: str
    is_locked: bool
    skr: str
    lines: list[Line]

    def sums(self) -> dict[str, Decimal]:
        """Returns debits less credits of each account."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for line in self.lines:
            found[line.account] += line.amount
            found[line.counter_account] -= line.amount
        return dict(found)


def read(path: Path) -> Batch:
    """Returns what a file says. An `AssertionError` names the first field that is not as the description wants it."""
    assert re.fullmatch(r"EXTF_\w+\.csv", path.name)
    content = path.read_bytes()
    assert not content.startswith(b"\xef\xbb\xbf")
    text = content.decode("cp1252")
    assert text.endswith("\r\n")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text.replace("\r\n", "").replace("€", "")), "a control sign"
    first, names, *rows = text[:-2].split("\r\n")
    head = _fields(first, _HEADER, set(range(1, 32)))
    assert len(names.split(";")) == 125
    assert 1 <= len(rows) <= 99_999
    batch = Batch(
        consultant=head[11], client=head[12], fiscal_year=_day(head[13]), account_length=int(head[14]), first=_day(head[15]),
        last=_day(head[16]), label=head[17], is_locked=head[21] == "1", skr=head[27], lines=[],
    )  # fmt: skip
    assert batch.fiscal_year <= batch.first <= batch.last < _next_year(batch.fiscal_year)
    assert batch.first.year == batch.last.year
    batch.lines.extend(_line(row, batch) for row in rows)
    return batch


def _line(row: str, batch: Batch) -> Line:
    found = _fields(row, _COLUMNS, _NEEDED)
    assert len(found[7]) in (batch.account_length, batch.account_length + 1)
    assert len(found[8]) in (batch.account_length, batch.account_length + 1)
    kinds = {found[number]: found[number + 1] for number in range(21, 37, 2) if found[number]}
    amount = Decimal(found[1].replace(",", "."))
    day = _in_fiscal_year(found[10], batch.fiscal_year)
    assert batch.first <= day <= batch.last
    return Line(
        amount=amount if found[2] == "S" else -amount, account=found[7], counter_account=found[8], bu_key=found[9], day=day,
        document=found[11], text=found[14], about=kinds, is_locked=found[114] == "1",
    )  # fmt: skip


def _fields(row: str, expressions: list[str], needed: set[int]) -> dict[int, str]:
    """Returns the fields by number, without their quotes."""
    found, place = [], 0
    while True:
        field = _FIELD.match(row, place)
        assert field
        found.append(field[0])
        place = field.end()
        if place == len(row):
            break
        assert row[place] == ";", f"field {len(found)} goes on after its quotes"
        place += 1
    assert len(found) == len(expressions), f"{len(found)} fields"
    values = {}
    for number, (raw, expression) in enumerate(zip(found, expressions, strict=True), start=1):
        nothing = '""' if '"' in expression else ""
        good = re.fullmatch(expression, raw, re.ASCII) or (raw == nothing and number not in needed)
        assert good, f"field {number} is {raw!r} instead of {expression}"
        values[number] = raw[1:-1].replace('""', '"') if raw.startswith('"') else raw
    return values


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _next_year(day: date) -> date:
    return day.replace(year=day.year + 1)


def _in_fiscal_year(text: str, begins: date) -> date:
    """Returns the day DDMM of a fiscal year."""
    number, month = int(text[:2]), int(text[2:])
    year = begins.year + (month < begins.month)
    return date(year, month, number)
