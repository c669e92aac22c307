"""Reads a bank's CSV file by a mapping that a person writes: it names columns, and the form of days and amounts.

Nothing is guessed: a value of another form than the mapping says is refused with its line. A CSV file has no balances, so it
fills days and proves none.
"""

import csv
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import Any, Literal

import msgspec

from sources.files.values import Document, Entry, FileRefused, Page, filled, money

_LINE_END = re.compile(r"\r\n|\n|\r")
_MOST_LINES = 1_000_000
_NEXT = "Correct the mapping (docs/accounting.md has an example), or ask the bank for the file again"


class Columns(msgspec.Struct, forbid_unknown_fields=True):
    """Names of columns in the file's heading. The amount is in one column with its sign, or in two: `credit` and `debit`."""

    booked_on: str
    amount: str | None = None
    credit: str | None = None
    debit: str | None = None
    value_on: str | None = None
    currency: str | None = None
    counterparty_name: str | None = None
    counterparty_iban: str | None = None
    description: str | list[str] | None = None
    """Several columns are joined with a space."""
    end_to_end_id: str | None = None
    mandate_number: str | None = None
    transaction_type: str | None = None
    reference: str | None = None


class CsvMapping(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping file (TOML)."""

    columns: Columns
    date_format: str = "%Y-%m-%d"
    """In the notation of Python's `strptime`."""
    decimal: Literal[",", "."] = ","
    delimiter: str = ";"
    encoding: str = "utf-8-sig"
    skip_lines: int = 0
    """Lines before the heading."""


@dataclass(frozen=True)
class Period:
    """The days that a file covers, if a person names them; else the days from its first entry to its last."""

    first: date | None = None
    last: date | None = None


def mapping_of(text: str) -> CsvMapping:
    """Returns a mapping. Raises `FileRefused` with the fault."""
    try:
        found = msgspec.convert(tomllib.loads(text), CsvMapping)
        "".encode(found.encoding)
    except (ValueError, LookupError) as error:  # broken TOML, a value of another type, an unknown encoding
        raise FileRefused(f"The mapping cannot be read: {error}", _NEXT) from None
    columns = found.columns
    if (columns.amount is None) == (columns.credit is None or columns.debit is None):
        raise FileRefused("The mapping needs either `amount`, or both `credit` and `debit`", _NEXT)
    if len(found.delimiter) != 1 or found.delimiter in '\r\n"':
        raise FileRefused("The mapping's `delimiter` is not one character", _NEXT)
    if not 0 <= found.skip_lines <= _MOST_LINES:
        raise FileRefused(f"The mapping's `skip_lines` is not from 0 to {_MOST_LINES:,}", _NEXT)
    if not _is_of_days(found.date_format):
        raise FileRefused("The mapping's `date_format` does not give day, month and year", _NEXT)
    return found


def _is_of_days(date_format: str) -> bool:
    """Returns whether `date_format` reads back the dates that it writes."""
    day = datetime(2024, 11, 30, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(date_format), date_format).date() == day.date()  # noqa: DTZ007  # a day
    except (ValueError, re.error):
        return False


def read(content: bytes, mapping: CsvMapping, period: Period) -> Document:
    """Returns the entries of a file as one page, the oldest first. Raises `FileRefused` that names the line."""
    entries, currencies = list[Entry](), dict[str, None]()
    for place, row in _rows(content, mapping):
        entries.append(_entry(place, row, mapping))
        if mapping.columns.currency:
            currencies[row[mapping.columns.currency].strip()] = None
    if len(currencies) > 1:
        raise FileRefused(f"It has entries in {len(currencies)} currencies", "Split it into a file of each currency")
    if entries and entries[0].booked_on > entries[-1].booked_on:
        entries.reverse()  # equal payments of a day are counted from the oldest
    page = Page(place="file", number=None, currency=next(iter(currencies), None), entries=entries)
    page.first, page.last = period.first, period.last
    return Document("CSV", [page])


def _rows(content: bytes, mapping: CsvMapping) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields each row by the names of its columns, with its line."""
    try:
        text = content.decode(mapping.encoding)
    except UnicodeError:
        raise FileRefused(
            f"It is not {mapping.encoding}", 'Name its encoding in the mapping, as in encoding = "cp1252"'
        ) from None
    text = text.removeprefix("\ufeff")
    if mapping.skip_lines:  # only by the line ends of CSV; `splitlines` splits at further ones
        ends = [found.end() for found in islice(_LINE_END.finditer(text), mapping.skip_lines)]
        text = text[ends[-1] :] if len(ends) == mapping.skip_lines else ""
    reader = csv.reader(StringIO(text, newline=""), delimiter=mapping.delimiter, strict=True)
    try:
        heading = [name.strip() for name in next(reader, [])]
        _check(heading, mapping.columns)
        for row in reader:
            place = f"line {reader.line_num + mapping.skip_lines}"
            if not any(one.strip() for one in row):
                continue
            if len(row) != len(heading):
                raise FileRefused(f"{place} has {len(row)} fields, and the heading {len(heading)}", _NEXT)
            yield place, dict(zip(heading, row, strict=True))
    except csv.Error as error:
        raise FileRefused(f"Line {reader.line_num + mapping.skip_lines} is no CSV ({error})", _NEXT) from None


def _check(heading: list[str], columns: Columns) -> None:
    for name, column in msgspec.structs.asdict(columns).items():
        for one in column if isinstance(column, list) else [column]:
            if one is not None and heading.count(one) != 1:
                times = "more than one column" if one in heading else "no column"
                raise FileRefused(f"Its heading has {times} `{one}`, which the mapping names for `{name}`", _NEXT)


def _entry(place: str, row: dict[str, str], mapping: CsvMapping) -> Entry:
    columns = mapping.columns
    texts: dict[str, Any] = {
        name: filled(row[column])
        for name in ("counterparty_name", "counterparty_iban", "end_to_end_id", "mandate_number", "transaction_type", "reference")
        if (column := getattr(columns, name)) is not None
    }
    about = [columns.description] if isinstance(columns.description, str) else columns.description or []
    return Entry(
        place=place,
        booked_on=_day(row[columns.booked_on], mapping, place),
        value_on=_day(row[columns.value_on], mapping, place) if columns.value_on and row[columns.value_on].strip() else None,
        amount=_amount(row, mapping, place),
        description=filled(" ".join(filter(None, (filled(row[one]) for one in about)))),
        **texts,
    )


def _amount(row: dict[str, str], mapping: CsvMapping, place: str) -> Decimal:
    columns = mapping.columns
    if columns.amount is not None:
        return _signed(row[columns.amount], mapping, place)
    given = [(sign, row[name]) for sign, name in ((1, columns.credit), (-1, columns.debit)) if name and row[name].strip()]
    if len(given) != 1:
        raise FileRefused(f"{place} has {'both a credit and a debit' if given else 'neither a credit nor a debit'}", _NEXT)
    ((sign, text),) = given
    amount = _signed(text, mapping, place)
    if sign < 0 or amount >= 0:  # a debit is written with or without its sign
        return sign * abs(amount)
    raise FileRefused(f"{place} has a credit with a minus", _NEXT)


def _signed(text: str, mapping: CsvMapping, place: str) -> Decimal:
    point, group = re.escape(mapping.decimal), re.escape("." if mapping.decimal == "," else ",")
    shown = text.strip().replace("\u2212", "-").replace("\u00a0", "")
    found = re.fullmatch(rf"([+-]?)((?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)(?:{point}\d{{1,2}})?)", shown)
    if found is None:
        raise FileRefused(f"{place}: its amount is none with `{mapping.decimal}` before the cents", _NEXT)
    plain = re.sub(group, "", found[2]).replace(mapping.decimal, ".")
    amount = money(plain, place)
    return -amount if found[1] == "-" else amount


def _day(text: str, mapping: CsvMapping, place: str) -> date:
    try:
        return datetime.strptime(text.strip(), mapping.date_format).date()  # noqa: DTZ007  # a day, of the bank's calendar
    except ValueError:
        raise FileRefused(f"{place}: a date is not written as `{mapping.date_format}`", _NEXT) from None
