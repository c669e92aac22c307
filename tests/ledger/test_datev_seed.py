"""The seed `skr` and the settings of DATEV: a value that no batch could have is refused with its row when the ledger is built."""

import re
from pathlib import Path

import pytest

from transforms import datev_seed, seeds
from transforms.errors import SeedUnreadable

HEADER = "ledger_account,direction,vat,skr03,skr04,bu_key\n"
INTERIM = "any,any,any,1590,1370,\n"
NOT_THERE = "names an account that neither chart_of_accounts.csv nor accounts.csv has"


def own(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "it needs one row `any,any,any,`"),
        (INTERIM.replace("1370", ""), "it needs one row `any,any,any,`"),
        ("any,any,VAT_19,8400,4400,\n" + INTERIM, "it needs one row `any,any,any,`"),
        ("Income:Nothing,any,any,8400,4400,\n" + INTERIM, f"row 1 {NOT_THERE}"),
        ("Assets:Banking,any,any,1200,1800,\n" + INTERIM, f"row 1 {NOT_THERE}"),
        (",any,any,8400,4400,\n" + INTERIM, "row 1: ledger_account is missing"),
        ("Income:Sales,sideways,any,8400,4400,\n" + INTERIM, "row 1: direction must be one of in, out, any"),
        ("Income:Sales,any,19 %,8400,4400,\n" + INTERIM, "row 1: vat must be a VAT code as VAT_19, any, or empty"),
        ("Income:Sales,any,any,840,4400,\n" + INTERIM, "row 1: skr03 must be an account number of 4 to 9 digits"),
        ("Income:Sales,any,any,8400,0000,\n" + INTERIM, "row 1: skr04 must be an account number of 4 to 9 digits"),
        ("Income:Sales,any,any,8400,4400,USt\n" + INTERIM, "row 1: bu_key must have 1 to 4 digits"),
        ("Income:Sales,any,any,٨٤٠٠,4400,\n" + INTERIM, "row 1: skr03 must be an account number of 4 to 9 digits"),
        ("Income:Sales,any,any,8400,4400,٩\n" + INTERIM, "row 1: bu_key must have 1 to 4 digits"),
        (
            "Assets:Bank:Kontist:A1,in,any,1210,1810,\n" + INTERIM,
            "row 1: an own account has one number: direction and vat must be any",
        ),
        ("Assets:Bank,any,,1200,1800,\n" + INTERIM, "row 1: an own account has one number: direction and vat must be any"),
        ("Liabilities:Card,any,any,1730,3610,9\n" + INTERIM, "row 1: an own account has one number"),
        (INTERIM + INTERIM, "row 2 repeats the ledger_account and direction and vat"),
    ],
)
def test_a_row_that_no_batch_could_have_is_refused(rows: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SeedUnreadable, match=re.escape(complaint)) as caught:
        seeds.read(own(tmp_path, skr=HEADER + rows))
    assert "skr.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("datev_consultant_number,1000", "datev_consultant_number must be a number from 1001 to 9999999 (Beraternummer)"),
        ("datev_consultant_number,29 098", "datev_consultant_number must be"),
        ("datev_client_number,0", "datev_client_number must be a number from 1 to 99999 (Mandantennummer)"),
        ("datev_client_number,", "datev_client_number must be"),
        ("datev_account_length,9", "datev_account_length must be a number from 4 to 8"),
        ("datev_skr,3", "datev_skr must be 03 or 04"),
        ("datev_festschreibung,yes", "datev_festschreibung must be 0, or 1"),
        ("datev_client,1", "name must be one of reporting_currency"),
    ],
)
def test_a_setting_of_datev_has_the_form_of_the_vendors_header(setting: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SeedUnreadable, match=re.escape(f"row 1: {complaint}")):
        seeds.read(own(tmp_path, settings=f"name,value\n{setting}\n"))


def test_rows_may_name_own_accounts_and_a_chart_of_ones_own_may_lack_accounts_of_the_shipped_rows(tmp_path: Path) -> None:
    bank = "Assets:Bank:Kontist:30ECD7D036ADAD4C,any,any,1210,1810,\n"
    rows = "Assets:Business,any,any,1200,1800,\nLiabilities:Card,any,any,1730,,\n"
    read = seeds.read(
        own(tmp_path, skr=HEADER + rows + bank + INTERIM, accounts="account,display_name,ledger_account\na,,Assets:Business\n")
    )
    assert len(next(seed for seed in read if seed.name == "skr").rows) == 4

    (tmp_path / "skr.csv").unlink()
    chart = (seeds.FOLDER / "chart_of_accounts.csv").read_text(encoding="utf-8").replace("Expenses:Donations,", "Expenses:Gifts,")
    categories = (seeds.FOLDER / "categories.csv").read_text(encoding="utf-8").replace("Expenses:Donations", "Expenses:Gifts")
    seeds.read(own(tmp_path, chart_of_accounts=chart, categories=categories))


def test_the_shipped_rows_are_good_and_automatic_accounts_have_no_key() -> None:
    shipped = {seed.name: seed.rows for seed in seeds.read()}

    assert datev_seed.fault(shipped["skr"], {row["ledger_account"] for row in shipped["chart_of_accounts"]}) == ""
    keyed = {row["skr03"] for row in shipped["skr"] if row["bu_key"]}
    assert not keyed & {"8400", "8300", "8336", "8337", "3123", "3125", "3420", "3425"}
    for chart in ("skr03", "skr04"):
        numbers = {row[chart]: bool(row["bu_key"]) for row in shipped["skr"]}
        assert {number for number in numbers if number in datev_seed.AUTOMATIC[chart]}  # the list knows the shipped ones
        assert not any(numbers[number] for number in numbers if number in datev_seed.AUTOMATIC[chart])
    assert {row["bu_key"] for row in shipped["skr"] if row["vat"] == "VAT_19" and row["skr03"] in keyed} == {"9"}
    assert {row["bu_key"] for row in shipped["skr"] if row["vat"] == "VAT_7" and row["skr03"] in keyed} == {"8"}
