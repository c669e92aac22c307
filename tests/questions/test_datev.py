"""`export --format datev`: batches whose sums by account are those of the ledger, read by the vendor's description alone."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import Failure
from tests.ledger.worlds import Given
from tests.questions.asked import data_dir, printed_json
from tests.questions.datev_reader import Line
from tests.questions.datev_worlds import (
    BALANCE,
    COMPLETE,
    FILE,
    IBAN,
    OTHER_IBAN,
    READ_AT,
    ROWS,
    SETTINGS,
    SHIPPED,
    by_id,
    euros,
    exported,
    kontist,
    march,
    with_seeds,
)

EXPECTED = {
    "03": {"1": ["8400"], "2": ["8300"], "3": ["4900/9"], "4": ["4900/8"], "5": ["4900"], "6": ["1590"], "7": ["1800"],
           "8": ["1890"], "9": ["1810"], "10": ["8400", "8300"], "11": ["4900/9"], "12": ["1590"], "15": ["1590"],
           "16": ["1800"], "17": ["1800"], "18": ["3123"], "19": ["8336"], "20": ["1590"]},
    "04": {"1": ["4400"], "2": ["4300"], "3": ["6300/9"], "4": ["6300/8"], "5": ["6300"], "6": ["1370"], "7": ["2100"],
           "8": ["2180"], "9": ["2150"], "10": ["4400", "4300"], "11": ["6300/9"], "12": ["1370"], "15": ["1370"],
           "16": ["2100"], "17": ["2100"], "18": ["5923"], "19": ["4336"], "20": ["1370"]},
}  # fmt: skip
"""By chart and movement: the account and the key of each line, as an adviser would write them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(with_seeds(tmp_path_factory.mktemp("books")), COMPLETE)


# ---- What a batch holds


def test_each_booked_movement_is_one_line_with_its_gross_amount_and_a_part_of_one_has_its_own(
    folder: Path, tmp_path: Path
) -> None:
    found = by_id(exported(folder, tmp_path, "--account", IBAN))

    booked = {
        row["source_transaction_id"]: euros(row["amount_cents"]) for row in ROWS if row["booking_type"] and row["amount_cents"]
    }
    assert {number: sum(line.amount for line in lines) for number, lines in found.items()} == booked
    assert [number for number, lines in found.items() if len(lines) > 1] == ["10"]
    assert {line.account for lines in found.values() for line in lines} == {"1200"}


@pytest.mark.parametrize("skr", ["03", "04"])
def test_accounts_and_keys_are_those_of_the_chart(skr: str, folder: Path, tmp_path: Path) -> None:
    batch = exported(folder, tmp_path, "--skr", skr)

    shown = {number: [_with_key(line) for line in lines] for number, lines in by_id(batch).items()}
    assert shown == EXPECTED[skr]
    assert batch.skr == skr


def _with_key(line: Line) -> str:
    return f"{line.counter_account}/{line.bu_key}" if line.bu_key else line.counter_account


def test_the_sums_by_account_are_those_of_the_ledgers_postings(folder: Path, tmp_path: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        gross = connection.execute(
            "select transaction_id, leg % 1000 as leg, sum(amount) from ledger.postings group by all order by all"
        ).fetchall()
    numbers = {number: iter(accounts) for number, accounts in EXPECTED["03"].items()}
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for transaction, leg, amount in gross:
        if amount:
            account = "1200" if leg == 1 else next(numbers[transaction.rpartition(":")[2]]).partition("/")[0]
            expected[account] += amount

    sums = exported(folder, tmp_path).sums()
    assert sums == expected
    assert sum(sums.values()) == 0
    assert sums["1200"] == euros(BALANCE)


def test_a_movement_that_comes_back_goes_where_it_went_with_the_same_key(folder: Path, tmp_path: Path) -> None:
    found = by_id(exported(folder, tmp_path))

    (out,), (back,) = found["3"], found["11"]
    assert (out.amount, back.amount) == (Decimal("-119.00"), Decimal("119.00"))
    assert (out.counter_account, out.bu_key) == (back.counter_account, back.bu_key) == ("4900", "9")
    (drawn,), (returned,) = found["16"], found["17"]
    assert (drawn.counter_account, returned.counter_account) == ("1800", "1800")  # a drawing that comes back is no deposit
    assert drawn.text == "Müller"


def test_the_header_names_adviser_client_days_and_chart(folder: Path, tmp_path: Path) -> None:
    batch = exported(folder, tmp_path)

    assert (batch.consultant, batch.client, batch.skr, batch.account_length) == ("29098", "55003", "03", 4)
    assert (batch.fiscal_year, batch.first, batch.last) == (date(2026, 1, 1), march(1), march(31))
    assert batch.label == "Bank 01.03.2026 bis 31.03.2026"
    assert not batch.is_locked
    assert {line.is_locked for line in batch.lines} == {False}


def test_what_has_no_mapping_is_listed_by_account_direction_and_code(folder: Path, tmp_path: Path, capsys: Any) -> None:
    exported(folder, tmp_path, "--json")

    notes = printed_json(capsys)["notes"]
    assert notes[0].endswith("PLN is not in the file: books of DATEV are in EUR")
    assert notes[1] == "1 posting of zero from 2026-03-01 to 2026-03-31: DATEV has none, so they are left out"
    assert notes[2].startswith("4 postings on the interim account 1590, for want of a row in skr.csv: ")
    assert "Income:Uncategorised (in, no VAT code): 1" in notes[2]
    assert "Expenses:Business (out, REVERSE_CHARGE): 1" in notes[2]
    assert "Expenses:Donations (out, VAT_19): 1" in notes[2]
    assert not any("without a VAT code" in one for one in notes)


def test_purchases_without_a_vat_code_are_listed_because_they_have_no_input_tax(tmp_path: Path, capsys: Any) -> None:
    rules = "rule,account_id,counterparty,iban,text,direction,ledger_account,vat_code\n" + "".join(
        f"{name},,{name},,,any,{account},{code}\n"
        for name, account, code in [
            ("Landlord", "Expenses:Rent", ""), ("Telecom", "Expenses:Telecommunication", "VAT_19"),
            ("Bank", "Expenses:Bank-Fees", ""),
        ]
    )  # fmt: skip
    rows = [
        kontist(number, march(9), cents, name=name)
        for number, (cents, name) in enumerate([(-1_000, "Landlord"), (500, "Landlord"), (-2_380, "Telecom"), (-300, "Bank")])
    ]
    given = COMPLETE | {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": -3_180}],
        "kontist.transactions": rows,
    }
    folder = data_dir(with_seeds(tmp_path / "books", rules=rules), given)
    note = "2 postings without a VAT code on accounts of expenses, so without a key and without input tax: Expenses:Rent: 2"

    batch = exported(folder, tmp_path / "out", "--account", IBAN, "--json")
    assert sorted(_with_key(line) for line in batch.lines) == ["4210", "4210", "4920/9", "4970"]
    assert note in printed_json(capsys)["notes"]

    with_seeds(folder, settings=SETTINGS + "vat,off\n", rules=rules)
    exported(folder, tmp_path / "off", "--account", IBAN, "--json")
    assert note not in printed_json(capsys)["notes"]


def test_a_document_number_keeps_what_belegfeld_1_takes(folder: Path, tmp_path: Path, capsys: Any) -> None:
    batch = exported(folder, tmp_path, "--json")

    assert [line.document for line in batch.lines if line.document] == ["RE2026/117"]
    assert "1 document number with signs that Belegfeld 1 lacks, or too long: shortened" in printed_json(capsys)["notes"]


def test_hostile_text_stays_text_within_its_field(folder: Path, tmp_path: Path, capsys: Any) -> None:
    batch = exported(folder, tmp_path, "--json")

    (line,) = by_id(batch)["15"]
    assert line.text == '\'=cmd|"/c calc"!A0; "Ü", Zeile 1 Zeile 2 ? Dong Jing \\x1b[31'
    assert line.about["Verwendungszweck"] == ("Zeile 1 Zeile 2 ? Dong Jing \\x1b[31m" + "ä" * 240)[:210]
    notes = printed_json(capsys)["notes"]
    assert "1 posting with signs that Windows-1252 lacks: the nearest ones stand there" in notes
    assert "1 posting with longer texts than DATEV allows; what does not fit is left out" in notes


def test_two_exports_of_one_ledger_are_equal_to_the_byte(folder: Path, tmp_path: Path) -> None:
    exported(folder, tmp_path)
    first = (tmp_path / FILE).read_bytes()

    exported(folder, tmp_path)
    assert (tmp_path / FILE).read_bytes() == first


# ---- Accounts of one's own


TWO: Given = {
    "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": -30_000}],
    "kontist.transactions": [
        kontist(1, march(2), -20_000, name="me", iban=OTHER_IBAN),
        kontist(2, march(4), -10_000, name="me", iban="MT00", purpose="a pair that a person confirms"),
    ],
    "kontist.imports": [{"import_id": "i-a", "account_id": "kontist:a", "finished_at": READ_AT}],
    "kontomatik.accounts": [{"account_id": "kontomatik:b", "iban": OTHER_IBAN, "balance": "299.00", "currency": "EUR"}],
    "kontomatik.transactions": [
        {"account_id": "kontomatik:b", "transaction_id": "b:1", "booked_on": march(3), "amount": "200.00", "currency": "EUR",
         "balance_after": "200.00", "party": "me", "party_iban": IBAN},
        {"account_id": "kontomatik:b", "transaction_id": "b:2", "booked_on": march(5), "amount": "99.00", "currency": "EUR",
         "balance_after": "299.00", "party": "me"},
    ],
    "kontomatik.imports": [{"import_id": "i-b", "account_id": "kontomatik:b", "finished_at": READ_AT}],
}  # fmt: skip


def test_own_transfers_meet_on_the_transit_account_and_a_rest_leaves_it_as_a_person_decided(tmp_path: Path, capsys: Any) -> None:
    own = {
        "transfers": "out_transaction_id,in_transaction_id,decision\nkontist:2,b:2,confirm\n",
        "transactions": "transaction_id,ledger_account,note\nkontist:2,Expenses:Bank-Fees,\n",
    }
    folder = data_dir(with_seeds(tmp_path / "books", **own), TWO)
    with pytest.raises(
        Failure, match=r"2 accounts would have the number 1200 in the books: .*3000 EUR, A bank .*001S EUR"
    ) as refused:
        exported(folder, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    example = refused.value.next_step.rpartition("`, as `")[2].rstrip("`")

    mistyped = "Assets:Bank:Kontist:A0,any,any,1220,1820,"
    with_seeds(folder, skr=(SHIPPED / "skr.csv").read_text() + f"{example}\n{mistyped}\n")
    batch = exported(folder, tmp_path / "out", "--json")

    note = "skr.csv has a row for Assets:Bank:Kontist:A0, which is no account of the ledger"
    assert [one for one in printed_json(capsys)["notes"] if one.startswith("skr.csv has a row")] == [note]
    assert batch.sums() == {"1210": Decimal("-300.00"), "1200": Decimal("299.00"), "1360": Decimal(0), "4970": Decimal("1.00")}
    whole, rest = (line for line in batch.lines if line.about["Transaktion"] == "kontist:2")
    assert (whole.account, whole.counter_account, whole.amount) == ("1210", "1360", Decimal("-100.00"))
    assert (rest.account, rest.counter_account, rest.amount) == ("1360", "4970", Decimal("-1.00"))


def test_an_account_in_another_currency_is_refused_where_it_is_the_only_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"PLN has no batch: books of DATEV are in EUR"):
        exported(folder, tmp_path, "--account", "kontomatik:k")
