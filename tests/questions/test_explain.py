"""`explain`: where a row came from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Failure, WrongUsage
from tests.ledger.worlds import Given
from tests.questions.asked import ask, data_dir, printed_json

LATER = datetime(2026, 3, 4, 6, tzinfo=UTC)
GIVEN: Given = {
    "kontist.accounts": [{"account_id": "kontist:a", "iban": "DE1"}, {"account_id": "kontist:b", "iban": "DE2"}],
    "kontist.transactions": [
        {"source_transaction_id": "1", "amount_cents": -500, "iban": "DE2", "purpose": "before", "valid_to": LATER,
         "import_id": "i-1"},
        {"source_transaction_id": "1", "amount_cents": -500, "iban": "DE2", "purpose": "after", "valid_from": LATER,
         "booking_type": "x", "import_id": "i-2"},
        {"account_id": "kontist:b", "source_transaction_id": "2", "amount_cents": 500, "iban": "DE1", "booking_type": "x"},
        {"source_transaction_id": "3", "amount_cents": -7, "valid_to": LATER},
        {"account_id": "kontist:b", "source_transaction_id": "44", "amount_cents": -9_00, "booking_type": "x",
         "splits": '[{"amount":-500,"category":"PRIVATE"},{"amount":-400,"vatRate":"VAT_7"}]'},
        {"account_id": "kontist:b", "source_transaction_id": "45", "amount_cents": -9_00, "booking_type": "x",
         "splits": '[{"amount":-500},{}]'},
        *({"account_id": "kontist:b", "source_transaction_id": f"6{month}", "amount_cents": -650_00, "booking_type": "x",
           "name": "Landlord", "purpose": f"Miete {month}", "booking_date": datetime(2026, month, 2, 12, tzinfo=UTC)}
          for month in (1, 2, 3)),
        {"account_id": "kontist:b", "source_transaction_id": "46", "amount_cents": -119_00, "booking_type": "x",
         "category": "VAT_19"},
    ],
    "kontist.imports": [
        {"import_id": "i-1", "run_id": "r-1", "account_id": "kontist:a"},
        {"import_id": "i-2", "run_id": "r-2", "account_id": "kontist:a"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("explained"), GIVEN)


def test_each_version_is_reported_with_its_import_and_its_load(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:a:1", "--json")
    why = printed_json(capsys)

    assert [one["import"]["run_id"] for one in why["versions"]] == ["r-1", "r-2"]
    assert [one["said"]["purpose"] for one in why["versions"]] == ["before", "after"]
    assert why["versions"][0]["load"]["load_id"] == "1772431200.0"
    assert why["versions"][1]["load"] is None
    assert [one["change"] for one in why["history"]] == ["new", "changed"]


def test_the_rules_that_set_status_category_and_transfer_are_reported(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:a:1", "--json")
    rules = printed_json(capsys)["rules"]

    assert rules["status"]["status"] == "booked"
    assert [leg["ledger_account"] for leg in rules["category"]] == ["Assets:Bank:Kontist:A", "Assets:Transit"]
    assert rules["category"][1]["decided_by"] == "transfer both_ibans"
    (transfer,) = rules["transfer"]
    assert transfer["in_transaction_id"] == "kontist:b:2"
    assert transfer["rule"].startswith("each end names the other's IBAN")


def test_people_read_the_same(folder: Path, capsys: Any) -> None:
    assert ask(folder, "explain", "kontist:a:1") == 0
    shown = capsys.readouterr().out

    for words in ("version 2: valid from 2026-03-04 06:00:00 UTC (current)", "import i-2 of run r-2", "load 1772431200.0",
                  "decided by transfer both_ibans", "status: booked. Kontist: booked as soon as"):  # fmt: skip
        assert words in shown


def test_splits_are_shown_with_their_legs_and_with_the_reason_where_they_have_none(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:b:44", "--json")
    rules = printed_json(capsys)["rules"]
    assert [(one["split"], one["amount"], one["leg"]) for one in rules["splits"]] == [(1, "-5.00", 5), (2, "-4.00", 6)]
    assert [one["leg"] for one in rules["category"]] == [1, 5, 6]

    ask(folder, "explain", "kontist:b:44")
    shown = capsys.readouterr().out
    assert "split 1: -5.00 EUR, PRIVATE; on a leg of its own" in shown
    assert "booked: 4.00 EUR on Expenses:Uncategorised, decided by split nothing" in shown
    ask(folder, "explain", "kontist:b:45")
    shown = capsys.readouterr().out
    assert "split 2: an amount that is none, no category; not followed: the splits do not sum to the amount" in shown
    assert "booked: 9.00 EUR on Expenses:Uncategorised, decided by nothing" in shown


def test_the_tax_in_a_movement_is_shown_beside_its_net_amount(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:b:46", "--json")
    legs = printed_json(capsys)["rules"]["category"]
    assert [(one["leg"], one["amount"], one["vat_code"], one["vat_percent"]) for one in legs] == [
        (1, "-119.00", None, None),
        (2, "100.00", "VAT_19", "19.00"),
        (1002, "19.00", "VAT_19", "19.00"),
    ]

    ask(folder, "explain", "kontist:b:46")
    assert "booked: 19.00 EUR on Assets:Input-VAT, decided by vat VAT_19" in capsys.readouterr().out


def test_a_row_that_the_bank_took_away_is_explained_too(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:a:3", "--json")
    why = printed_json(capsys)
    assert why["now"] is None
    assert [one["change"] for one in why["history"]] == ["new", "removed"]

    ask(folder, "explain", "kontist:a:3")
    assert "the bank shows it no more" in capsys.readouterr().out


def test_an_id_that_never_was_is_wrong_usage(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="No transaction has or had this id"):
        ask(folder, "explain", "kontist:a:4711")
    with pytest.raises(WrongUsage, match="Give the whole id: kontist:a:3"):
        ask(folder, "explain", "3")
    with pytest.raises(WrongUsage, match="kontist:a:1 or kontist:a:3"):
        ask(folder, "explain", "kontist:a")


def test_a_ledger_that_cannot_be_read_says_how_to_build_it_again(tmp_path: Path) -> None:
    (tmp_path / "ledger.duckdb").write_bytes(b"no database" * 1000)

    with pytest.raises(Failure, match="pipelines transform"):
        ask(tmp_path, "explain", "kontist:a:1")


def test_the_kind_is_named_with_its_evidence_and_the_recurring_payment(folder: Path, capsys: Any) -> None:
    ask(folder, "explain", "kontist:b:62", "--json")
    found = printed_json(capsys)["rules"]["payment_kind"]

    assert [(one["payment_kind"], one["cadence"], one["payments"]) for one in found] == [("rent", "monthly", 3)]
    assert ask(folder, "explain", "kontist:b:62") == 0
    printed = capsys.readouterr().out
    assert "kind: rent, by description Miete (row " in printed
    assert ": monthly, 3 payments from 2026-01-02 to 2026-03-02 of mostly -650.00 EUR, found by similar amounts" in printed
    assert "  the next is expected on 2026-04-02" in printed
