"""Writes the ledger as an Excel workbook. What a bank sends is text in it, never a formula or a link.

Excel keeps 15 digits of a number. So an amount with more (10,000,000,000,000.00 and above) is text, exact, and a sum passes over
it. A cell holds 32,767 characters and a sheet 1,048,576 rows: longer text is cut, and more rows go to a further sheet.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.questions.xml_text import NO_XML
from pipelines.store.leftovers import PARTS
from pipelines.store.sql import each_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

TABLES = ("accounts", "transactions", "balances_daily", "postings")
NAMES = {"balances_daily": "balances"}
"""Sheets that are not called as their table is."""
ROWS = 1_048_576
"""Rows of a sheet, its header included."""
CHARACTERS = 32_767
DIGITS = 15
FIRST_DAY = date(1900, 3, 1)
"""Excel counts a day too much before: it takes 1900 for a leap year."""
WIDTH = 16


def write(connection: "DuckDBPyConnection", path: Path, note: Callable[[str], None]) -> None:
    """Writes the workbook to `path`. `note` receives what Excel could not take as it is. Raises `OSError`."""
    with _created(path) as workbook:
        cells = _Cells(workbook)
        names: dict[str, str] = {}
        for table in TABLES:
            cursor = connection.cursor()
            cursor.execute("use ledger")
            rows = each_row(cursor, f"from {table}")
            if table == "accounts":
                listed = list(rows)
                names = {row["account_id"]: row["display_name"] for row in listed}
                rows = iter(listed)
            else:
                rows = ({"account": names.get(row["account_id"])} | row for row in rows)
            _write_table(workbook, cells, NAMES.get(table, table), rows)
    if cells.cut:
        note(f"{cells.cut} texts are longer than {CHARACTERS:,} characters, and cut")
    if cells.long:
        note(f"{cells.long} amounts have more than {DIGITS} digits: they are text, since Excel would round them")


@contextmanager
def _created(path: Path) -> Iterator["Workbook"]:
    """Yields a workbook that is written when the block ends. Raises `OSError` when the disk refuses, as other files do."""
    import xlsxwriter
    from xlsxwriter.exceptions import FileCreateError

    prefix = f"{PARTS}{os.getpid()}-"  # its parts: nothing in a shared /tmp
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    try:
        with (
            tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder,
            xlsxwriter.Workbook(path, options | {"tmpdir": folder}) as workbook,
        ):
            yield workbook
    except FileCreateError as error:
        raise OSError(f"the workbook cannot be written: {error}") from None


def _write_table(workbook: "Workbook", cells: "_Cells", name: str, rows: Iterator[dict[str, Any]]) -> None:
    """Writes a table to a sheet, and on to further ones where it is full. A table without rows has an empty sheet."""
    sheet, at, sheets = workbook.add_worksheet(name), 0, 1
    for row in rows:
        if at == ROWS:
            sheets += 1
            sheet, at = workbook.add_worksheet(f"{name} {sheets}"), 0
        if at == 0:
            sheet.freeze_panes(1, 0)
            sheet.set_column(0, len(row) - 1, WIDTH)
            for column, heading in enumerate(row):
                sheet.write_string(0, column, heading, cells.bold)
            at = 1
        for column, value in enumerate(row.values()):
            cells.write(sheet, at, column, value)
        at += 1


class _Cells:
    """Writes values into cells, by type; counts what Excel cannot take as it is."""

    def __init__(self, workbook: "Workbook") -> None:
        self.cut = self.long = 0
        self.bold: Format = workbook.add_format({"bold": True})
        self._day = workbook.add_format({"num_format": "yyyy-mm-dd"})
        self._moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._whole = workbook.add_format({"num_format": "0"})
        self._decimals = {places: workbook.add_format({"num_format": "#,##0." + "0" * places}) for places in (2, 3, 6)}

    def write(self, sheet: "Worksheet", row: int, column: int, value: Any) -> None:
        """Writes a value; nothing for null."""
        if isinstance(value, Decimal):
            self._write_decimal(sheet, row, column, value)
        elif isinstance(value, datetime) and value.date() >= FIRST_DAY:
            sheet.write_datetime(row, column, value.astimezone(UTC).replace(tzinfo=None), self._moment)
        elif isinstance(value, date) and value >= FIRST_DAY:
            sheet.write_datetime(row, column, datetime(value.year, value.month, value.day), self._day)  # noqa: DTZ001
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif isinstance(value, int) and len(str(abs(value))) <= DIGITS:
            sheet.write_number(row, column, value, self._whole)
        elif value is not None:
            text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
            shown = _fitting(text)
            self.cut += shown != text
            sheet.write_string(row, column, shown.translate(NO_XML))

    def _write_decimal(self, sheet: "Worksheet", row: int, column: int, value: Decimal) -> None:
        places = -int(value.as_tuple().exponent)
        if len(value.as_tuple().digits) > DIGITS:
            self.long += 1
            sheet.write_string(row, column, f"{value:f}")
        else:
            sheet.write_number(row, column, value, self._decimals.get(places))  # written with 16 digits: these are exact


def _fitting(text: str) -> str:
    """Returns as much of a text as fits into a cell. Excel counts UTF-16: a sign beyond 16 bits, such as 😀, is two."""
    if 2 * len(text) <= CHARACTERS:
        return text
    return text.encode("utf-16-le")[: 2 * CHARACTERS].decode("utf-16-le", "ignore")
