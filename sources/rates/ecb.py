"""Reads the bytes of a CSV of reference rates into columns. A rate of more than six decimals is refused, not rounded."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pyarrow as pa

from sources._errors import Misconfigured, Unexpected
from sources._http import Http, Patience
from sources.rates.columns import REFERENCE_RATES

PUBLISHER = "ECB"
LARGEST = 50 * 1024 * 1024
"""Bytes. The whole history since 1999 is a fiftieth of that."""

_CURRENCY = re.compile(r"[A-Z]{3}")
_RATE = re.compile(r"\d{1,12}(?:\.\d{1,6})?")
_ASK = "Nothing was loaded. Give a CSV of the European Central Bank's euro reference rates"
_NONE = frozenset({"", "N/A", "-", "NaN"})


def from_file(path: Path) -> bytes:
    """Returns the file's bytes. Raises `Misconfigured`."""
    try:
        if path.stat().st_size > LARGEST:
            raise Misconfigured("rates", "the file is too large to be a file of reference rates", _ASK)
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured("rates", f"{path} cannot be read ({type(error).__name__})", "Check the path") from None


def from_url(url: str, *, patience: Patience | None = None, transport: httpx.BaseTransport | None = None) -> bytes:
    """Returns what the address answers; https only, except on this machine itself. Raises a `SourceError`."""
    parts = urlsplit(url)
    try:
        http = Http(
            "rates",
            f"{parts.scheme}://{parts.netloc}",
            patience=patience,
            transport=transport,
            wrong_address="Check the network and the address",
        )
    except Misconfigured:
        raise Misconfigured("rates", "the address is not https (plain http is for this machine only)", "Check it") from None
    try:
        response = http.request("GET", url)
    finally:
        http.close()
    if response.status_code != httpx.codes.OK:
        raise Misconfigured("rates", f"the address answers {response.status_code}", "Check the address")
    if len(response.content) > LARGEST:
        raise Unexpected("rates", "the answer is too large to be a file of reference rates", _ASK)
    return response.content


def read_rates(content: bytes) -> pa.Table:
    """Returns the rates as `REFERENCE_RATES`, each currency and day once. Raises `Unexpected`, which names the line."""
    text = _text(content)
    lines = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        rows = list(_rows(lines))
    except csv.Error:
        raise Unexpected("rates", f"line {lines.line_num} is no line of a CSV", _ASK) from None
    if not rows:
        raise Unexpected("rates", "there is no rate in it", _ASK)
    latest = {(currency, day): rate for currency, day, rate in rows}
    return pa.Table.from_pylist(
        [
            {"currency": currency, "day": day, "rate": rate, "publisher": PUBLISHER}
            for (currency, day), rate in sorted(latest.items())
        ],
        schema=REFERENCE_RATES,
    )


def _text(content: bytes) -> str:
    if content.startswith(b"PK"):
        content = _unpacked(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unexpected("rates", "it is no UTF-8 text", _ASK) from None


def _unpacked(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
            if len(entries) != 1 or entries[0].file_size > LARGEST:
                raise Unexpected("rates", "the archive does not hold one CSV of a credible size", _ASK)
            return archive.read(entries[0])
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, zlib.error):  # `zipfile` lets each of them through
        raise Unexpected("rates", "the archive is damaged", _ASK) from None


def _rows(lines: Iterator[list[str]]) -> Iterator[tuple[str, date, Decimal]]:
    header = [name.strip() for name in next(lines, [])]
    if "OBS_VALUE" in header:
        return _observations(header, lines)
    if header and header[0].lower() == "date":
        return _days(header, lines)
    raise Unexpected("rates", "the first line is neither `Date,...` nor that of the data portal's CSV", _ASK)


def _days(header: list[str], lines: Iterator[list[str]]) -> Iterator[tuple[str, date, Decimal]]:
    currencies = header[1:]
    while currencies and not currencies[-1]:  # the bank's own lines end with a comma
        currencies.pop()
    if len(set(currencies)) < len(currencies):
        raise Unexpected("rates", "the first line names a currency twice", _ASK)
    for number, line in enumerate(lines, start=2):
        if not line or not line[0].strip():
            continue
        day = _day(line[0].strip(), number)
        values = line[1:]
        if len(values) == len(currencies) + 1 and not values[-1].strip():
            values.pop()
        if len(values) != len(currencies):
            raise Unexpected("rates", f"line {number} has not as many fields as the first line", _ASK)
        for currency, value in zip(currencies, values, strict=True):
            if value.strip() not in _NONE:
                yield _currency(currency, number), day, _rate(value.strip(), number)


def _observations(header: list[str], lines: Iterator[list[str]]) -> Iterator[tuple[str, date, Decimal]]:
    try:
        places = [header.index(name) for name in ("CURRENCY", "CURRENCY_DENOM", "TIME_PERIOD", "OBS_VALUE")]
    except ValueError:
        raise Unexpected("rates", "the first line lacks CURRENCY, CURRENCY_DENOM, TIME_PERIOD or OBS_VALUE", _ASK) from None
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) <= max(places):
            raise Unexpected("rates", f"line {number} is cut short", _ASK)
        if len(line) != len(header):
            raise Unexpected("rates", f"line {number} has not as many fields as the first line", _ASK)
        currency, against, period, value = (line[place].strip() for place in places)
        if against != "EUR":
            raise Unexpected("rates", f"line {number} is not a rate against the euro", _ASK)
        if value not in _NONE:
            yield _currency(currency, number), _day(period, number), _rate(value, number)


def _currency(text: str, number: int) -> str:
    if text == "EUR":
        raise Unexpected("rates", f"line {number} has a rate of the euro against itself", _ASK)
    if not _CURRENCY.fullmatch(text):
        raise Unexpected("rates", f"line {number} names no currency of three capital letters", _ASK)
    return text


def _day(text: str, number: int) -> date:
    for form in ("%Y-%m-%d", "%d %B %Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007  # a day, not a moment
        except ValueError:
            continue
    raise Unexpected("rates", f"line {number} has no day of the form 2026-03-31 or 31 March 2026", _ASK)


def _rate(text: str, number: int) -> Decimal:
    if not _RATE.fullmatch(text) or not (rate := Decimal(text)):
        raise Unexpected("rates", f"line {number} has a rate that is not a positive number of at most six decimals", _ASK)
    return rate
