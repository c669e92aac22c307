"""`export`: files that other programs take without harm."""

import csv
import re
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ofxtools.Parser import OFXTree
from openpyxl import load_workbook

from pipelines.errors import Failure
from pipelines.questions.exports import FORMATS
from tests.ledger.worlds import LEDGER, RICH, Given
from tests.questions.asked import ask, data_dir, printed_json
from tests.questions.datev_worlds import MARCH, with_seeds
from tests.support import rows

SHEETS = {"accounts": "accounts", "transactions": "transactions", "balances_daily": "balances", "postings": "postings"}
"""The sheet of each table."""
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
    "(12) a | b; c",
    "https://eve.example/ <b>&amp;",
    "\x1b[31mred\x07",
    "\ufffe\uffff",
    "A name of more than thirty-two characters, and more",
]
GIVEN: Given = RICH | {
    "kontomatik.accounts": [
        *RICH["kontomatik.accounts"],
        {"account_id": "kontomatik:c", "source_account_id": "c", "currency": "PLN", "iban": "PL3", "balance": None},
    ],
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
    ],
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
    divided = journal[journal.index('"kontist:a:1"') :]
    assert divided[: divided.index("\n\n")].splitlines()[1:] == [
        '  decided_by: "split category VAT_19, split nothing"',
        "  Assets:Bank:Kontist:A  70.00 EUR",
        "  Income:Sales  -42.02 EUR",
        "  Income:Uncategorised  -20.00 EUR",
        "  Liabilities:Output-VAT  -7.98 EUR",
    ]
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


def test_accounts_open_with_their_currencies_and_rates_are_prices(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "beancount", "--out", str(tmp_path))
    journal = (tmp_path / "ledger.beancount").read_text(encoding="utf-8")

    assert re.search(r"^\d{4}-\d\d-\d\d open Assets:Bank:Kontomatik:A PLN$", journal, re.MULTILINE)
    assert "2026-03-01 price EUR 4.000000 PLN" in journal.splitlines()
    wrong = tmp_path / "wrong.beancount"
    wrong.write_text(journal.replace("open Assets:Bank:Kontomatik:A PLN", "open Assets:Bank:Kontomatik:A USD"), encoding="utf-8")
    assert bean_check(wrong)[0] == 1


# ---- hledger


def hledger(path: Path, *arguments: str) -> tuple[int, str]:
    """Status and output of hledger on a journal."""
    if (found := shutil.which("hledger")) is None:
        pytest.skip("NO HLEDGER HERE: the journal was not tried with it")
    done = subprocess.run([found, "-f", path, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_hledger_accepts_the_journal_and_counts_the_same(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "hledger", "--out", str(tmp_path))
    journal = tmp_path / "ledger.journal"

    assert hledger(journal, "check", "-s") == (0, "")
    booked = rows(folder, "select count(*) from transactions where status = 'booked'")[0][0]
    assert hledger(journal, "print", "not:desc:^Balance")[1].count("; transaction_id:") == booked
    (balance,) = rows(folder, "select balance from accounts where source = 'kontomatik'")[0]
    assert f"{balance} PLN" in hledger(journal, "balance", "Assets:Bank:Kontomatik", "--no-total")[1]


def test_hledger_refuses_a_journal_that_lacks_a_movement(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "hledger", "--out", str(tmp_path))
    path = tmp_path / "ledger.journal"
    path.write_text(path.read_text(encoding="utf-8").replace("  70.00 EUR", "  70.01 EUR"), encoding="utf-8")

    status, said = hledger(path, "check")
    assert status == 1
    assert "balance" in said.lower()


def test_a_journal_for_hledger_holds_each_text_in_its_place(folder: Path, tmp_path: Path) -> None:
    ask(folder, "export", "--format", "hledger", "--out", str(tmp_path))
    entries = (tmp_path / "ledger.journal").read_text(encoding="utf-8").split("\n\n")[1:]

    for entry in entries:
        head, *rest = entry.strip("\n").split("\n")
        assert re.match(r"\d{4}-\d\d-\d\d \*", head)
        assert ";" not in head
        assert all(line.startswith("    ") for line in rest)
        if "= " not in rest[0]:
            amounts = [Decimal(line.split()[-2]) for line in rest if not line.lstrip().startswith(";")]
            assert sum(amounts) == 0
    assert any(") (12) a / b, c | " in entry for entry in entries)


# ---- OFX


def statements(path: Path) -> dict[str, Any]:
    """The statements of a file, by the account's number, as another program reads them."""
    tree = OFXTree()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree.parse(path)
    return {one.account.acctid: one for one in tree.convert().statements}


def test_ofx_holds_count_sum_and_balance_of_each_account_to_the_cent(folder: Path, tmp_path: Path, capsys: Any) -> None:
    ask(folder, "export", "--format", "ofx", "--out", str(tmp_path), "--json")
    left_out, changed = printed_json(capsys)["notes"]
    assert left_out.endswith(" is not in the file: its balance is not known")
    assert changed.endswith(", 2026-03 was closed, and its bank has changed 2 transactions since: the file shows them")
    found = statements(tmp_path / "ledger.ofx")

    query = """
        select coalesce(iban, a.account_id), a.currency, a.balance, count(t.amount), coalesce(sum(t.amount), 0.00)
        from accounts a left join transactions t on t.account_id = a.account_id and t.status = 'booked'
        where a.balance is not null
        group by all
    """
    assert {
        (
            number,
            one.curdef,
            one.ledgerbal.balamt,
            len(one.transactions),
            sum((row.trnamt for row in one.transactions), Decimal("0.00")),
        )
        for number, one in found.items()
    } == set(rows(folder, query))
    shown = [row for one in found.values() for row in one.transactions]
    assert len({row.fitid for row in shown}) == len(shown)
    assert {(row.fitid, row.dtposted.date(), row.trntype) for row in shown} == {
        (one, day, "CREDIT" if amount > 0 else "DEBIT")
        for one, day, amount in rows(folder, "select transaction_id, booked_on, amount from transactions where status = 'booked'")
    }
    texts = {(row.name, row.memo) for row in shown}
    long = EVIL[-1]
    assert any(name == long[:32].strip() and memo.startswith(long) for name, memo in texts)
    assert ("https://eve.example/ <b>&amp;", "\\ https://eve.example/ <b>&amp;") in texts


def test_a_ledger_without_rows_can_be_exported(tmp_path: Path) -> None:
    data_dir(with_seeds(tmp_path), {})
    for form in FORMATS:
        assert ask(tmp_path, "export", "--format", form, *(MARCH if form == "datev" else ())) == 0
    assert not list((tmp_path / "export").glob("EXTF*"))
    assert not list((tmp_path / "export").glob("*.xml"))  # a document without a statement would not be valid

    assert bean_check(tmp_path / "export" / "ledger.beancount") == (0, "")
    assert statements(tmp_path / "export" / "ledger.ofx") == {}
    assert load_workbook(tmp_path / "export" / "ledger.xlsx").sheetnames == list(SHEETS.values())


def test_a_folder_that_cannot_be_written_is_said_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Failure, match=r"\(File exists\)\. Choose another folder with --out"):
        ask(folder, "export", "--format", "parquet", "--out", str(tmp_path / "file"))
