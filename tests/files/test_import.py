"""`import`: files of account statements beside what the bank shows, listed and taken back."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Failure, WrongUsage
from pipelines.questions.swift_text import swift
from tests.files.bank_files import IBAN, MAPPING, Stated, camt053, csv, monthly, mt940, stated
from tests.files.scene import CLOSING, FIRST, LAST, OPENING, WORLD, D, booked, coverage, of_the_world, written
from tests.questions.asked import ask, printed_json
from tests.support import rows


@pytest.mark.parametrize("write", [camt053, mt940])
def test_older_days_come_in_and_are_proven_up_to_the_banks_balance(write: Any, connected: Path) -> None:
    assert booked(connected) == of_the_world()[-4:]

    assert ask(connected, "import", written(connected, write(*monthly(WORLD, FIRST, LAST, OPENING))), "--account", "3000") == 0

    assert booked(connected) == of_the_world()
    assert coverage(connected) == {("seen", "reported")}
    ((opening, closing),) = rows(
        connected,
        "select arg_min(opening_balance, day), arg_max(closing_balance, day) from balances_daily where account_id = 'kontist:a'",
    )
    assert (opening, closing) == (OPENING, CLOSING)
    assert rows(connected, "select entries, counted, shown_by_bank, contradicted from imported_files") == [(9, 5, 4, 0)]
    assert ask(connected, "prove", "3000", "--from", "2024-01-02", "--to", "2025-03-31") == 0


def test_the_account_is_recognised_by_the_number_in_the_file(connected: Path) -> None:
    for name, text in {
        "a": camt053(*monthly(WORLD, FIRST, date(2024, 1, 31), OPENING)),
        "b": mt940(stated(WORLD, date(2024, 2, 1), date(2024, 6, 30), OPENING)),
        "c": mt940(stated(WORLD, date(2024, 7, 1), date(2025, 2, 28), OPENING), account=f"{IBAN}EUR"),
    }.items():
        assert ask(connected, "import", written(connected, text, name)) == 0

    assert rows(connected, "select distinct account_id from imported_files") == [("kontist:a",)]


def test_the_same_file_twice_and_files_that_overlap_change_nothing(connected: Path, capsys: Any) -> None:
    year, months = stated(WORLD, FIRST, date(2024, 12, 31), OPENING), monthly(WORLD, date(2024, 6, 1), LAST, OPENING)
    first, second = written(connected, camt053(year), "year.xml"), written(connected, mt940(*months), "months.sta")

    assert ask(connected, "import", first, first, second, "--account", "3000") == 0
    assert booked(connected) == of_the_world()
    before = (connected / "raw.duckdb").stat()
    capsys.readouterr()
    assert ask(connected, "import", first, second, "--account", "3000") == 0

    assert capsys.readouterr().out.count("was imported before: nothing was changed") == 2
    assert (connected / "raw.duckdb").stat().st_mtime_ns == before.st_mtime_ns
    assert coverage(connected) == {("seen", "reported")}


def test_an_import_is_listed_and_taken_back(connected: Path, capsys: Any) -> None:
    path = written(connected, camt053(*monthly(WORLD, FIRST, LAST, OPENING)))
    before = booked(connected), coverage(connected)
    capsys.readouterr()
    assert ask(connected, "import", path, "--account", "3000", "--json") == 0
    (imported,) = printed_json(capsys)["files"]
    assert (imported["entries"], imported["money_in"], imported["status"]) == (9, "281.00", "imported")
    assert ask(connected, "import", "--list", "--json") == 0
    (listed,) = printed_json(capsys)["files"]
    assert (listed["file_id"], listed["counted"], listed["undone_at"]) == (imported["file_id"], 5, None)
    assert ask(connected, "import", "--list") == 0
    assert imported["file_id"] in capsys.readouterr().out

    assert ask(connected, "import", "--undo", imported["file_id"]) == 0

    assert "Took back" in capsys.readouterr().out
    assert (booked(connected), coverage(connected)) == before
    assert rows(connected, "select count(*) from transaction_history where change = 'removed' and source = 'file'") == [(5,)]
    assert rows(connected, "select count(*) from imported_files where undone_at is not null") == [(1,)]
    assert ask(connected, "import", "--undo", imported["file_id"]) == 0
    assert "taken back before" in capsys.readouterr().out
    with pytest.raises(WrongUsage, match="No imported file has the id f-0"):
        ask(connected, "import", "--undo", "f-0")
    assert ask(connected, "import", path, "--account", "3000") == 0
    assert booked(connected) == of_the_world()


def test_of_two_files_with_the_same_days_one_can_be_taken_back(connected: Path, capsys: Any) -> None:
    for write in (camt053, mt940):
        assert ask(connected, "import", written(connected, write(stated(WORLD, FIRST, LAST, OPENING))), "--account", "3000") == 0
    (first,) = (one for (one,) in rows(connected, "select file_id from imported_files order by imported_at limit 1"))

    assert ask(connected, "import", "--undo", first) == 0

    assert booked(connected) == of_the_world()
    assert rows(
        connected, "select distinct change, valid_to is null from transaction_history where source = 'file' order by 1"
    ) == [
        ("changed", True),
        ("new", False),
    ]


def test_explain_names_file_hash_and_place(connected: Path, capsys: Any) -> None:
    ask(connected, "import", written(connected, camt053(stated(WORLD, FIRST, LAST, OPENING)), "2024.xml"), "--account", "3000")
    ((one,),) = rows(connected, "select transaction_id from transactions where amount = 250")
    ((sha256,),) = rows(connected, "select sha256 from imported_files")
    capsys.readouterr()

    assert ask(connected, "explain", one) == 0

    assert f"file 2024.xml, statement 1, entry 1, sha256 {sha256}" in capsys.readouterr().out


def test_csv_fills_days_and_proves_none(connected: Path) -> None:
    path = written(connected, csv(WORLD[:4]), "umsatz.csv", "cp1252")
    mapping = written(connected, MAPPING, "mapping.toml")
    with pytest.raises(Failure, match=r"umsatz.csv was not imported. It is neither CAMT.053 nor MT940. .*--mapping"):
        ask(connected, "import", path, "--account", "3000")
    with pytest.raises(WrongUsage, match="without a number, which no account"):
        ask(connected, "import", path, "--mapping", mapping)

    given = ("--account", "3000", "--mapping", mapping, "--from", "2024-01-01", "--to", "2025-03-02")
    assert ask(connected, "import", path, *given) == 0

    assert booked(connected) == [one for one in of_the_world() if one != (date(2025, 3, 3), D("-20.00"))]
    assert coverage(connected) == {("seen", "derived"), ("seen", "reported")} or coverage(connected) == {("seen", "derived")}


def test_a_bank_that_is_not_connected_gets_an_account_of_its_own(tmp_path: Path, capsys: Any) -> None:
    folder, text = tmp_path / "data", camt053(*monthly(WORLD, FIRST, LAST, OPENING))
    path = written(folder, text)
    with pytest.raises(WrongUsage, match=r"of account …3000, which no account of the ledger can be\. Name one"):
        ask(folder, "import", path)

    assert ask(folder, "import", path, "--new", "--name", "Sparkasse Köln") == 0

    assert rows(folder, "select display_name, source, iban, currency, balance, balance_on from accounts") == [
        ("Sparkasse Köln …3000 EUR", "file", IBAN, "EUR", CLOSING, LAST)
    ]
    assert rows(folder, "select distinct status, proof from coverage") == [("seen", "reported")]
    assert rows(folder, "select count(*), sum(amount) from transactions") == [(9, CLOSING - OPENING)]
    assert ask(folder, "import", path, "--new", "--name", "Sparkasse Köln") == 0
    april = written(folder, mt940(Stated(date(2025, 4, 1), date(2025, 4, 30), CLOSING, [(date(2025, 4, 2), D(7), "x")])), "4.sta")
    assert ask(folder, "import", april, "--account", "3000") == 0
    assert rows(folder, "select balance, balance_on from accounts") == [(CLOSING + 7, date(2025, 4, 30))]
    assert ask(folder, "status") == 0
    ids = [one for (one,) in rows(folder, "select file_id from imported_files")]
    assert ask(folder, "import", *(part for one in ids for part in ("--undo", one))) == 0
    assert rows(folder, "select count(*) from transactions") == [(0,)]


def test_a_missing_month_stays_unseen_and_what_moved_in_it_is_a_difference(connected: Path) -> None:
    months = [one for one in monthly(WORLD, FIRST, LAST, OPENING) if one.first != date(2024, 6, 1)]

    assert ask(connected, "import", written(connected, camt053(*months)), "--account", "3000") == 0

    assert rows(connected, "select min(day), max(day), count(*) from coverage where status = 'unseen'") == [
        (date(2024, 6, 1), date(2024, 6, 30), 30)
    ]
    assert rows(connected, "select day, differs_since, difference_amount from coverage where difference_amount is not null") == [
        (date(2024, 6, 30), date(2024, 5, 31), D("-1200.05"))
    ]
    assert rows(connected, "select distinct proof from coverage where account_id = 'kontist:a' and status = 'seen'") == [
        ("reported",)
    ]
    assert rows(connected, "select opening_balance from balances_daily order by day limit 1") == [(OPENING,)]


def test_a_dry_run_shows_counts_and_sums_and_changes_nothing(connected: Path, capsys: Any) -> None:
    path = written(connected, camt053(*monthly(WORLD, FIRST, LAST, OPENING)))
    before = (connected / "raw.duckdb").read_bytes()

    assert ask(connected, "import", path, "--account", "3000", "--dry-run") == 0
    assert "can be imported: 15 statements of Kontist …3000 in CAMT.053" in capsys.readouterr().out
    assert ask(connected, "import", path, "--account", "3000", "--dry-run", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)["files"]
    assert (shown["status"], shown["file_id"], shown["money_out"]) == ("read", None, "-1249.86")
    assert (connected / "raw.duckdb").read_bytes() == before


@pytest.mark.parametrize("form", ["camt053", "mt940"])
def test_exports_are_read_back_to_the_cent(form: str, connected: Path, tmp_path: Path) -> None:
    ask(connected, "import", written(connected, camt053(*monthly(WORLD, FIRST, LAST, OPENING))), "--account", "3000")
    chosen = ("--account", "3000", "--from", "2024-01-02", "--to", "2025-03-31")
    assert ask(connected, "export", "--format", form, *chosen, "--out", str(tmp_path)) == 0
    (exported,) = tmp_path.glob("ledger.*")
    fresh = tmp_path / "fresh"

    assert ask(fresh, "import", str(exported), "--new", "--name", "Elsewhere") == 0

    days = "where account_id in (select account_id from accounts where iban = '{IBAN}') and day <= '2025-03-31' order by day"
    for query in (
        "select booked_on, value_on, amount, currency, description from transactions order by all",
        f"select day, opening_balance, money_in, money_out, closing_balance from balances_daily {days}",
        f"select day, status, proof from coverage {days}",
    ):
        asked = query.replace("{IBAN}", IBAN)
        assert latin(rows(fresh, asked)) == latin(rows(connected, asked)), query
    assert rows(fresh, "select distinct status, proof from coverage") == [("seen", "reported")]


def latin(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows with their texts as MT940 has them."""
    return [tuple(swift(one) if isinstance(one, str) else one for one in row) for row in found]
