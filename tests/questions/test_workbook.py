"""`export --format xlsx`: what Excel shows of each value, and what it cannot hold."""

import gc
import re
import resource
import signal
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from pipelines.errors import Failure
from pipelines.questions import workbook
from tests.questions.asked import ask, data_dir
from tests.questions.test_export import GIVEN, SHEETS
from tests.support import rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("exported"), GIVEN)


def test_a_workbook_holds_text_as_text_days_as_days_and_amounts_to_the_cent(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "xlsx", "--out", str(tmp_path))
    book = load_workbook(tmp_path / "ledger.xlsx")

    assert book.sheetnames == list(SHEETS.values())
    for table, sheet in SHEETS.items():
        heads, *lines = book[sheet].iter_rows()
        names = [one.value for one in heads]
        types = {cell.data_type for line in lines for cell in line}
        assert "f" not in types  # no formula
        assert not [cell for line in lines for cell in line if cell.hyperlink]
        if table != "accounts":
            assert names.pop(0) == "account"
            called = dict(rows(folder, "select account_id, display_name from accounts"))
            of = names.index("account_id") + 1
            assert [line[0].value for line in lines] == [called[line[of].value] for line in lines]
            lines = [line[1:] for line in lines]
        expected = rows(folder, f"select {', '.join(names)} from {table}")
        assert len(lines) == len(expected)
        for line, row in zip(lines, expected, strict=True):
            for cell, value in zip(line, row, strict=True):
                assert _same(cell, value), (table, cell.coordinate, cell.value, value)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.xlsx"]


def _same(cell: Any, value: Any) -> bool:
    """Whether a cell holds the value of the ledger, and is of its kind."""
    if value is None or value == "":
        return cell.value is None
    if isinstance(value, Decimal):
        return cell.data_type == "n" and Decimal(str(cell.value)) == value and cell.number_format.startswith("#,##0.00")
    if isinstance(value, datetime):
        return cell.is_date and abs(cell.value.replace(tzinfo=UTC) - value) < timedelta(seconds=1)
    if isinstance(value, date):
        return cell.is_date and cell.value.date() == value
    if isinstance(value, list):
        return (cell.value or "") == "; ".join(value)
    if isinstance(value, str):
        return cell.data_type == "s" and unescape(cell.value) == re.sub("[\ufffe\uffff]", "\ufffd", value).replace("\r\n", "\n")
    return cell.value == value


def test_more_rows_than_a_sheet_takes_go_to_further_sheets(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.questions.workbook.ROWS", 11)
    ask(folder, "export", "--format", "xlsx", "--out", str(tmp_path))
    book = load_workbook(tmp_path / "ledger.xlsx", read_only=True)

    sheets = [name for name in book.sheetnames if name.split()[0] == "transactions"]
    found = [line[1] for name in sheets for line in list(book[name].iter_rows(values_only=True))[1:]]
    assert sheets[:2] == ["transactions", "transactions 2"]
    assert found == [one for (one,) in rows(folder, "select transaction_id from transactions")]


@pytest.mark.parametrize(
    ("value", "kind", "shown", "notes"),
    [
        (Decimal("9999999999999.99"), "n", 9999999999999.99, 0),
        (Decimal("-10000000000000.01"), "s", "-10000000000000.01", 1),
        (Decimal("0.10"), "n", 0.1, 0),
        (2**60, "s", str(2**60), 0),
        ("x" * 40_000, "s", "x" * 32_767, 1),
        ("😀" * 20_000, "s", "😀" * 16_383, 1),
        (date(1899, 12, 31), "s", "1899-12-31", 0),
    ],
)
def test_what_excel_cannot_hold_is_text_or_cut_and_said(value: Any, kind: str, shown: Any, notes: int, tmp_path: Path) -> None:
    said: list[str] = []
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as ledger; use ledger")
        for table in workbook.TABLES:
            connection.execute(f"create table {table} as select ? as v, 'a' as account_id, 'A' as display_name", [value])
        workbook.write(connection, tmp_path / "a.xlsx", said.append)
    cell = load_workbook(tmp_path / "a.xlsx")["accounts"]["A2"]

    assert (cell.data_type, cell.value, len(said)) == (kind, shown, notes)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # xlsxwriter leaves its parts open then
def test_a_workbook_that_the_disk_refuses_is_said_so(folder: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(Failure, match=r"ledger.xlsx cannot be written .*Choose another folder with --out"):
            ask(folder, "export", "--format", "xlsx", "--out", str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
        gc.collect()

    assert list(tmp_path.iterdir()) == []
