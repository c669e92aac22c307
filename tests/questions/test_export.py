"""`export`: files that other programs take without harm."""

import csv
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import Failure
from tests.ledger.worlds import LEDGER, RICH, Given
from tests.questions.asked import ask, data_dir, printed_json

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
EVIL = [
    "=1+1",
    "+49 30",
    "-Verein",
    "@SUM(A1)",
    "\t=1",
    "  =1",
    "＝1",
    "\u200b=1",
    "\ufeff=1",
    "a;=cmd|' /C x'!A0;b",
    "a; -1",
    "a=1",
    "plain",
    'quo"te, comma',
    "two\nlines",
]
GIVEN: Given = RICH | {
    "kontist.transactions": [
        *RICH["kontist.transactions"],
        *(
            {
                "source_transaction_id": f"e{number}",
                "amount_cents": -1,
                "booking_type": "x",
                "name": text,
                "purpose": "\\ " + text,
            }
            for number, text in enumerate(EVIL)
        ),
    ]
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("exported"), GIVEN)


def bean_check(path: Path) -> tuple[int, str]:
    done = subprocess.run([BEAN_CHECK, "--no-cache", path], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_csv_holds_every_row_and_no_formula(folder: Path, tmp_path: Path, capsys: Any) -> None:
    assert ask(folder, "export", "--format", "csv", "--out", str(tmp_path), "--json") == 0
    assert sorted(Path(one).stem for one in printed_json(capsys)["files"]) == sorted(LEDGER)

    content = (tmp_path / "transactions.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbftransaction_id,account_id,")
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines(keepends=True)))
    names = {row["counterparty_name"] for row in rows}
    assert {"'=1+1", "'+49 30", "'-Verein", "'@SUM(A1)", "'\t'=1", "'＝1", "a=1", "plain", 'quo"te, comma'} <= names
    assert {"'\u200b=1", "'\ufeff=1", "a;'=cmd|' /C x'!A0;b", "a; '-1"} <= names
    assert "two\nlines" in {name.replace("\r\n", "\n") for name in names}
    assert {row["labels"] for row in rows} == {"", "a; b"}
    assert "-20.00" in {row["amount"] for row in rows}
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from transactions").fetchone() == (len(rows),)


def test_parquet_keeps_types_and_rows(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "parquet", "--out", str(tmp_path))

    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        for table in LEDGER:
            described = [row[:2] for row in connection.execute(f"describe {table}").fetchall()]
            shown = f"select * from read_parquet('{tmp_path / table}.parquet')"
            assert [row[:2] for row in connection.execute(f"describe {shown}").fetchall()] == described
            assert connection.execute(f"select count(*) from ({shown} except all from {table})").fetchone() == (0,)


def test_bean_check_accepts_the_journal(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "beancount", "--out", str(tmp_path))

    assert bean_check(tmp_path / "ledger.beancount") == (0, "")
    journal = (tmp_path / "ledger.beancount").read_text(encoding="utf-8")
    assert "2026-03-05 balance Assets:Bank:Kontomatik:A  30.00 ~ 0.00 PLN" in journal
    assert '"quo\\"te, comma" "\\\\ quo\\"te, comma"' in journal
    assert "Equity:Opening-Balances" in journal


def test_bean_check_refuses_a_journal_that_lacks_a_movement(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "beancount", "--out", str(tmp_path))
    path = tmp_path / "ledger.beancount"
    path.write_text(path.read_text(encoding="utf-8").replace("70.00 EUR", "70.01 EUR"), encoding="utf-8")

    status, said = bean_check(path)
    assert status == 1
    assert "Balance failed" in said


def test_the_banks_running_balance_is_asserted_at_month_ends(tmp_path: Path) -> None:
    rows = [(date(2026, 1, 30), "10.00", "10.00"), (date(2026, 2, 3), "5.00", "15.00"), (date(2026, 2, 9), "1.00", "16.00")]
    data_dir(
        tmp_path,
        {
            "kontomatik.accounts": [{"currency": "PLN", "balance": "16.00"}],
            "kontomatik.transactions": [{"booked_on": day, "amount": Decimal(amount), "balance_after": Decimal(after)}
                                        for day, amount, after in rows],
            "kontomatik.imports": [{"account_id": "kontomatik:a", "finished_at": datetime(2026, 2, 20, tzinfo=UTC)}],
        },
    )  # fmt: skip
    ask(tmp_path, "export", "--format", "beancount")
    journal = (tmp_path / "export" / "ledger.beancount").read_text(encoding="utf-8")

    assert [line for line in journal.splitlines() if " balance " in line] == [
        "2026-01-31 balance Assets:Bank:Kontomatik:A  10.00 ~ 0.00 PLN",
        "2026-02-10 balance Assets:Bank:Kontomatik:A  16.00 ~ 0.00 PLN",
        "2026-02-21 balance Assets:Bank:Kontomatik:A  16.00 ~ 0.00 PLN",
    ]
    assert bean_check(tmp_path / "export" / "ledger.beancount") == (0, "")


def test_a_difference_is_an_entry_of_its_own_between_the_banks_balances(tmp_path: Path) -> None:
    # 12,000.00, then 11.45 went out on a day that nobody knows, then 20.00
    rows = [(date(2026, 1, 30), "-100.00", "11900.00"), (date(2026, 2, 3), "-20.00", "11868.55")]
    data_dir(
        tmp_path,
        {
            "kontomatik.accounts": [{"currency": "PLN", "balance": "11868.55"}],
            "kontomatik.transactions": [{"booked_on": day, "amount": Decimal(amount), "balance_after": Decimal(after)}
                                        for day, amount, after in rows],
            "kontomatik.imports": [{"account_id": "kontomatik:a", "finished_at": datetime(2026, 2, 20, tzinfo=UTC)}],
        },
    )  # fmt: skip
    ask(tmp_path, "export", "--format", "beancount")
    path = tmp_path / "export" / "ledger.beancount"
    journal = path.read_text(encoding="utf-8")

    assert "  Equity:Opening-Balances  -12000.00 PLN" in journal
    assert (
        '2026-02-03 * "Difference" "The bank moved this beyond what the ledger holds, after the last movement of 2026-01-30"'
        in journal
    )
    assert "  Assets:Bank:Kontomatik:A  -11.45 PLN\n  Equity:Differences  11.45 PLN" in journal
    assert [line for line in journal.splitlines() if " balance " in line] == [
        "2026-01-31 balance Assets:Bank:Kontomatik:A  11900.00 ~ 0.00 PLN",
        "2026-02-04 balance Assets:Bank:Kontomatik:A  11868.55 ~ 0.00 PLN",
        "2026-02-21 balance Assets:Bank:Kontomatik:A  11868.55 ~ 0.00 PLN",
    ]
    assert bean_check(path) == (0, "")


def test_a_ledger_without_rows_can_be_exported(tmp_path: Path) -> None:
    data_dir(tmp_path, {})
    for form in ("csv", "parquet", "beancount"):
        assert ask(tmp_path, "export", "--format", form) == 0

    assert bean_check(tmp_path / "export" / "ledger.beancount") == (0, "")


def test_a_folder_that_cannot_be_written_is_said_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Failure, match="Choose another folder with --out"):
        ask(folder, "export", "--format", "parquet", "--out", str(tmp_path / "file"))
