"""What people decide in seed files: read exactly, refused with the row named, and part of what the ledger is made from."""

from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

from tests.ledger.worlds import RICH, raw_file
from transforms import seeds
from transforms.build import build
from transforms.errors import SeedUnreadable

RULES = "rule,account_id,counterparty,iban,text,direction,ledger_account\n"
KINDS = "payment_kind,field,value,direction\n"
ACCOUNTS = "account,display_name,ledger_account\n"
VAT = ",".join(seeds.COLUMNS["vat"]) + "\n"
CHART = (seeds.FOLDER / "chart_of_accounts.csv").read_text(encoding="utf-8")


def own(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_seeds_are_good_and_all_read() -> None:
    read = seeds.read()

    assert [seed.name for seed in read] == list(seeds.NAMES)
    assert {path.stem for path in seeds.FOLDER.iterdir()} == set(seeds.NAMES)
    assert {seed.origin for seed in read} == {"shipped"}
    assert seeds.read(Path("nowhere")) == read


def test_a_file_of_ones_own_takes_the_place_of_the_shipped_one_and_is_noted(tmp_path: Path) -> None:
    text = "\ufeff" + RULES.replace("\n", "\r\n") + ' coffee ,,Kaffee,,,any,Expenses:Restaurants\r\n\r\n"a, b",,,,,,\r\n'
    text = text.replace('"a, b",,,,,,\r\n', '"a, b",,,DE1,,out,Assets:Cash\r\n')
    folder = own(tmp_path / "seeds", "rules", text)
    raw = raw_file(tmp_path / "raw.duckdb", RICH)
    built = build(raw, tmp_path / "ledger.duckdb", own_seeds=folder)

    assert built.failed == []
    with duckdb.connect(built.path, read_only=True) as connection:
        noted = connection.execute("select origin, rows, sha256 from seeds where seed = 'rules'").fetchall()
        others = connection.execute("select distinct origin from seeds where seed <> 'rules'").fetchall()
    assert noted == [("own", 2, sha256(text.encode()).hexdigest())]
    assert others == [("shipped",)]
    rules = next(seed for seed in seeds.read(folder) if seed.name == "rules")
    assert [row["rule"] for row in rules.rows] == ["coffee", "a, b"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("rules", "rule,iban\n", "its first line must be"),
        ("rules", "", "its first line must be"),
        ("rules", RULES + "x,,,,\n", "row 1 has 5 fields instead of 7"),
        ("rules", RULES + 'x,"unfinished\n', "is no CSV"),
        ("rules", RULES + "x,,a,,,any,Expenses:Nothing\n", "row 1 names an account that chart_of_accounts.csv does not have"),
        ("rules", RULES + "x,,,,,any,Expenses:Rent\n", "row 1: one of account_id"),
        ("rules", RULES + ",,a,,,any,Expenses:Rent\n", "row 1: rule is missing"),
        ("rules", RULES + "x,,a,,,sideways,Expenses:Rent\n", "row 1: direction must be one of in, out, any"),
        ("rules", RULES + "x,,a,,,in,Expenses:Rent\nx,,b,,,in,Expenses:Rent\n", "row 2 repeats the rule"),
        ("categories", "source,field,value,direction,ledger_account\nbank,label,x,any,Assets:Cash\n", "source must be one of"),
        ("categories", "source,field,value,direction,ledger_account\nkontist,kind,x,any,Assets:Cash\n", "field must be one of"),
        ("categories", "source,field,value,direction,ledger_account\nkontist,label,,any,Assets:Cash\n", "value is missing"),
        ("transfers", "out_transaction_id,in_transaction_id,decision\na,b,perhaps\n", "decision must be one of"),
        ("transfers", "out_transaction_id,in_transaction_id,decision\na,,confirm\n", "both transactions must be named"),
        (
            "transfers",
            "out_transaction_id,in_transaction_id,decision\na,b,confirm\na,c,reject\na,b,reject\n",
            "row 3 repeats the out_transaction_id and in_transaction_id of an earlier one",
        ),
        ("settings", "name,value\nreporting_currency,euro\n", "must be an ISO 4217 code"),
        ("settings", "name,value\nforecast_days,-1\n", "must be a whole number"),
        ("settings", "name,value\nfiscal_year_start_month,13\n", "must be a month, 1 to 12"),
        ("payment_kinds", KINDS + "wage,label,x,in\n", "row 1: payment_kind must be one of salary, "),
        ("payment_kinds", KINDS + "salary,words,x,in\n", "row 1: field must be one of transaction_id, "),
        ("payment_kinds", KINDS + "salary,text,x,both\n", "row 1: direction must be one of in, out, any"),
        ("payment_kinds", KINDS + "salary,label,,in\n", "row 1: value is missing"),
        ("payment_kinds", KINDS + "salary,text,--,in\n", "row 1: value must have a letter or a digit"),
        ("payment_kinds", KINDS + "salary,text,x,in\nrent,text,x,in\n", "row 2 repeats the field and value and direction"),
        ("target_holidays", "day,name\n25.12.2026,Christmas\n", "row 1: day must be a date"),
        ("target_holidays", "day,name\n2026-W01-1,Christmas\n", "row 1: day must be a date"),
        ("settings", "name,value\nhorizon,1\n", "name must be one of"),
        ("settings", "name,value\nvat,no\n", "vat must be on or off"),
        (
            "rules",
            RULES.strip() + ",vat_code\nx,,a,,,any,Expenses:Rent,VAT_20\n",
            "row 1 names a vat_code that vat.csv does not have",
        ),
        ("transactions", "transaction_id,ledger_account,note,vat_code\na,Expenses:Rent,,VAT_20\n", "NONE means no tax"),
        ("vat", VAT + "none,sale,,,,,,,,\n", "row 1: a vat_code is written in capitals"),
        ("vat", VAT + "NONE,sale,,,,,,,,\n", "and is not NONE"),
        ("vat", VAT + "A,any,,,,,,,,\n", "side must be one of sale, purchase"),
        ("vat", VAT + "A,sale,100,,,,,,,\n", "rate must be a percentage below 100"),
        ("vat", VAT + "A,sale,,1.7.2020,,,,,,\n", "must be dates"),
        ("vat", VAT + "A,sale,,20200701,,,,,,\n", "must be dates"),
        ("vat", VAT + "A,sale,,,2020-W27-3,,,,,\n", "must be dates"),
        ("vat", VAT + "A,sale,,2020-12-31,2020-07-01,,,,,\n", "valid_from is later than valid_to"),
        ("vat", VAT + "A,sale,0,,,Kz 81,,,,\n", "net_box must be a number of the tax form"),
        ("vat", VAT + "A,sale,1,,,,,,,\n", "a sale with a rate has an output_account"),
        ("vat", VAT + "A,purchase,1,,,,,,Liabilities:Output-VAT,\n", "a purchase with a rate has an input_account"),
        ("vat", VAT + "A,sale,1,,,,,,Income:Sales,\n", "output_account must be an account of Liabilities"),
        ("vat", VAT + "A,purchase,1,,,,,,,Assets:Transit\n", "and not Assets:Transit"),
        ("vat", VAT + "A,purchase,1,,,,,,,Assets:Nothing\n", "row 1 names an account that chart_of_accounts.csv does not have"),
        (
            "vat",
            VAT + "A,purchase,1,,,,,,Liabilities:Loans,Assets:Input-VAT\nA,sale,1,,,,,,Liabilities:Loans,\n",
            "row 2 is a sale with tax, but with the same vat_code the buyer owes it",
        ),
        (
            "vat",
            VAT
            + "A,purchase,1,,2020-01-01,,,,Liabilities:Loans,Assets:Input-VAT\nA,purchase,1,2021-01-01,,,,,,Assets:Input-VAT\n",
            "row 2 has no output_account",
        ),
        ("vat", VAT + "A,sale,,,2020-12-31,,,,,\nA,sale,,2020-12-31,,,,,,\n", "row 2 is valid on days of an earlier row"),
        ("chart_of_accounts", "ledger_account,kind,description\n", "it lacks the account Assets:Transit"),
        (
            "chart_of_accounts",
            CHART.replace("Expenses:Rent,", "Expenses:Flat,"),
            "it lacks the account Expenses:Rent, to which the categories.csv that comes with the program books; keep the account",
        ),
        ("chart_of_accounts", CHART + "Expenses:Tea,money,x,\n", "kind must be one of"),
        ("chart_of_accounts", CHART + "expenses:tea,expense,x,\n", "is written Expenses:Name"),
        ("chart_of_accounts", CHART + "Expenses:Tea,income,x,\n", "is written Income:Name"),
        ("chart_of_accounts", CHART + "Assets:Bank:Mine,asset,x,\n", "are made by the program"),
        ("chart_of_accounts", CHART + "Expenses:Tea,expense,,\n", "description is missing"),
        ("chart_of_accounts", CHART + "Income:Tips,income,x,,salary\n", "euer_line must be empty, or one of private_income"),
        ("accounts", ACCOUNTS + ",x,\n", "row 1: account is missing"),
        ("accounts", ACCOUNTS + "a,,\n", "row 1: one of display_name and ledger_account"),
        ("accounts", ACCOUNTS + "a,Bank …4711,\n", "no `…`"),
        ("accounts", ACCOUNTS + "a," + "x" * 61 + ",\n", "up to 60 visible signs"),
        ("accounts", ACCOUNTS + "a,x\x1b[2J,\n", "up to 60 visible signs"),
        ("accounts", ACCOUNTS + "a,,Expenses:Tea\n", "is written Assets:Name or Liabilities:Name"),
        ("accounts", ACCOUNTS + "a,,Assets:Cash\n", "row 1 names an account that chart_of_accounts.csv has already"),
        ("accounts", ACCOUNTS + "a,Giro,\nb,GIRO,\n", "row 2 repeats the display_name"),
        ("accounts", ACCOUNTS + "a,,Assets:Giro\nb,,Assets:Giro\n", "row 2 repeats the ledger_account"),
        ("accounts", ACCOUNTS + "a,x,\na,y,\n", "row 2 repeats the account"),
        ("chart_of_accounts", CHART + "Assets:Cash,asset,x,\n", "repeats the ledger_account"),
    ],
)
def test_a_seed_that_cannot_be_used_is_refused_by_file_and_row(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    folder = own(tmp_path / "seeds", name, text)

    with pytest.raises(SeedUnreadable, match=complaint) as caught:
        seeds.read(folder)
    assert str(folder / f"{name}.csv") in str(caught.value)
    assert "The ledger published before is as it was" in str(caught.value)


def test_a_seed_that_is_no_text_is_refused(tmp_path: Path) -> None:
    own(tmp_path, "rules", "")
    (tmp_path / "rules.csv").write_bytes(b"\xff\xfe")

    with pytest.raises(SeedUnreadable, match="no UTF-8 text"):
        seeds.read(tmp_path)


def test_a_bad_seed_leaves_no_ledger_behind(tmp_path: Path) -> None:
    folder = own(tmp_path / "seeds", "rules", "x")
    raw = raw_file(tmp_path / "raw.duckdb", {})

    with pytest.raises(SeedUnreadable):
        build(raw, tmp_path / "ledger.duckdb", own_seeds=folder)
    assert not (tmp_path / "ledger.duckdb").exists()


def test_a_chart_of_before_there_were_groups_goes_on_working(tmp_path: Path) -> None:
    old = "\n".join(line.rsplit(",", 2)[0] for line in CHART.splitlines()) + "\nExpenses:Office:Tea-and-Coffee,expense,x\n"
    folder = own(tmp_path / "seeds", "chart_of_accounts", old)
    built = build(raw_file(tmp_path / "raw.duckdb", {}), tmp_path / "ledger.duckdb", own_seeds=folder)

    assert built.failed == []
    with duckdb.connect(built.path, read_only=True) as connection:
        levels = connection.execute("select ledger_account, category_group, category from ledger_accounts").fetchall()
    assert ("Expenses:Office:Tea-and-Coffee", "Office", "Tea and Coffee") in levels
    assert ("Expenses:Bank-Fees", "Expenses", "Bank Fees") in levels
    assert ("Income:Sales", "Income", "Sales") in levels


def test_a_chart_of_before_there_were_lines_of_the_euer_has_those_of_the_shipped_accounts(tmp_path: Path) -> None:
    old = "\n".join(line.rpartition(",")[0] for line in CHART.splitlines()) + "\nIncome:Tips,income,x,Income\n"
    chart = next(one for one in seeds.read(own(tmp_path, "chart_of_accounts", old)) if one.name == "chart_of_accounts")

    assert {row["ledger_account"]: row["euer_line"] for row in chart.rows} == {
        "Income:Tips": None,
        **{row["ledger_account"]: row["euer_line"] for row in seeds.read()[0].rows},
    }
    assert chart.rows[0]["category_group"] == "Transfers"


def test_a_chart_of_before_there_was_vat_gets_the_accounts_that_a_seed_names(tmp_path: Path) -> None:
    old = "".join(line for line in CHART.splitlines(keepends=True) if line.partition(",")[0] not in seeds.LATER)
    folder = own(tmp_path / "seeds", "chart_of_accounts", old)
    own(folder, "categories", "source,field,value,direction,ledger_account\n")
    built = build(raw_file(tmp_path / "raw.duckdb", RICH), tmp_path / "ledger.duckdb", own_seeds=folder)

    assert built.failed == []
    with duckdb.connect(built.path, read_only=True) as connection:
        accounts = connection.execute(
            "select ledger_account from ledger_accounts where kind in ('asset', 'liability')"
        ).fetchall()
    assert {("Assets:Input-VAT",), ("Liabilities:Output-VAT",)} <= set(accounts)
    assert ("Liabilities:Loans",) not in accounts


def test_a_row_may_end_before_the_column_that_came_later(tmp_path: Path) -> None:
    folder = own(tmp_path, "rules", RULES.strip() + ",vat_code\nx,,a,,,in,Expenses:Rent\ny,,b,,,in,Expenses:Rent,VAT_7\n")

    rows = next(seed.rows for seed in seeds.read(folder) if seed.name == "rules")

    assert [row["vat_code"] for row in rows] == [None, "VAT_7"]


def test_rules_and_transactions_tell_upper_from_lower_case(tmp_path: Path) -> None:
    folder = own(tmp_path, "rules", RULES + "x,,a,,,in,Expenses:Rent\nX,,b,,,in,Expenses:Rent\n")

    assert [row["rule"] for seed in seeds.read(folder) if seed.name == "rules" for row in seed.rows] == ["x", "X"]


def test_the_holidays_are_those_of_the_library() -> None:
    """To renew them: write what `holidays` says of the European Central Bank into the seed."""
    from holidays.financial import EuropeanCentralBank

    shipped = next(seed for seed in seeds.read() if seed.name == "target_holidays")

    assert {row["day"]: row["name"] for row in shipped.rows} == {
        day.isoformat(): name for day, name in EuropeanCentralBank(years=range(2000, 2101)).items()
    }
