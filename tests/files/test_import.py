"""`import`: files of account statements beside what the bank shows, listed, taken back, and refused by name."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ChecksFailed, Failure, WrongUsage
from pipelines.questions.swift_text import swift
from pipelines.run import file_import
from pipelines.store.lock import held
from tests.files.bank_files import IBAN, MAPPING, OTHER_IBAN, Row, Stated, camt053, csv, monthly, mt940, ntry, stated, stmt
from tests.ledger.worlds import Given
from tests.questions.asked import ask, data_dir, printed_json
from tests.support import rows

D = Decimal
FIRST, CONNECTED, LAST = date(2024, 1, 1), date(2025, 3, 3), date(2025, 3, 31)
OPENING = D("1000.00")
WORLD: list[Row] = [
    (date(2024, 1, 2), D("250.00"), "Miete"),
    (date(2024, 1, 2), D("-9.90"), "Abo"),
    (date(2024, 1, 2), D("-9.90"), "Abo"),
    (date(2024, 6, 28), D("-1200.05"), "Rechnung"),
    (date(2025, 3, 3), D("-20.00"), "before the bank's first row of the day"),
    (date(2025, 3, 3), D("-5.00"), "Kaffee"),
    (date(2025, 3, 3), D("-5.00"), "Kaffee"),
    (date(2025, 3, 10), D("31.00"), "Gutschrift"),
    (date(2025, 3, 31), D("-0.01"), "Gebühr"),
]
"""What happened on the account. The bank shows it from the second row of 3 March on."""
READ_AT = datetime(2025, 4, 1, 6, tzinfo=UTC)


def bank(*shown: Row, balance: Decimal) -> Given:
    """What was read of the bank on 1 April."""
    return {
        "kontist.accounts": [
            {"account_id": "kontist:a", "iban": IBAN, "balance_cents": int(balance * 100), "valid_from": READ_AT},
            {"account_id": "kontist:b", "iban": OTHER_IBAN, "balance_cents": 0, "valid_from": READ_AT},
        ],
        "kontist.transactions": [
            {
                "source_transaction_id": str(number),
                "booking_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC),
                "valuta_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC),
                "amount_cents": int(amount * 100),
                "purpose": text,
                "import_id": "i-bank",
                "valid_from": READ_AT,
            }
            for number, (day, amount, text) in enumerate(shown, start=1)
        ],
        "kontist.imports": [
            {"import_id": "i-bank", "account_id": "kontist:a", "started_at": READ_AT, "finished_at": READ_AT},
        ],
    }  # fmt: skip


CLOSING = OPENING + sum(amount for _, amount, _ in WORLD)


@pytest.fixture(scope="module")
def connected_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("connected"), bank(*WORLD[5:], balance=CLOSING))


@pytest.fixture
def connected(connected_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(connected_once, tmp_path / "data"))


def written(folder: Path, text: str, name: str = "file.xml", encoding: str = "utf-8") -> str:
    path = folder.parent / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def booked(folder: Path) -> list[tuple[date, Decimal]]:
    return sorted(rows(folder, "select booked_on, amount from transactions where status = 'booked' and account_id = 'kontist:a'"))


def of_the_world(first: date = FIRST) -> list[tuple[date, Decimal]]:
    return sorted((day, amount) for day, amount, _ in WORLD if day >= first)


def coverage(folder: Path) -> set[tuple[Any, ...]]:
    return set(rows(folder, "select status, proof from coverage where account_id = 'kontist:a' and day < '2025-04-01'"))


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


def test_a_file_with_other_entries_than_the_bank_is_refused_by_day(connected: Path) -> None:
    wrong = [row for row in WORLD if row[0] != date(2025, 3, 10)]
    path = written(connected, camt053(*monthly(wrong, FIRST, LAST, OPENING)))
    before = (connected / "raw.duckdb").read_bytes()

    with pytest.raises(
        Failure, match=r"other entries than the bank on 1 day that both show: 2025-03-10 \(0 in the file, 1 there\)"
    ):
        ask(connected, "import", path, "--account", "3000")
    assert (connected / "raw.duckdb").read_bytes() == before

    more = [*WORLD[:8], (date(2025, 3, 20), D("-1.00"), "not the bank's"), WORLD[8]]
    path = written(connected, camt053(*monthly(more, FIRST, LAST, OPENING)))
    assert ask(connected, "import", path, "--account", "3000", "--accept-differences") == 0
    assert booked(connected) == of_the_world()
    assert rows(connected, "select status, count(*) from file_entries group by all order by 1") == [
        ("contradicted", 1),
        ("counted", 5),
        ("shown", 4),
    ]
    assert ("seen", "differs") in coverage(connected)


def test_a_file_with_other_entries_than_an_earlier_file_is_refused(connected: Path) -> None:
    ask(connected, "import", written(connected, camt053(stated(WORLD, FIRST, date(2024, 1, 31), OPENING))), "--account", "3000")
    other = camt053(stated(WORLD[1:], FIRST, date(2024, 6, 30), OPENING))

    with pytest.raises(Failure, match=r"other entries than an earlier file on 2024-01-02 \(2 in the file, 3 there\)"):
        ask(connected, "import", written(connected, other, "b.xml"), "--account", "3000", "--accept-differences")


def test_statements_of_another_account_are_left_out_or_refused(connected: Path, capsys: Any) -> None:
    other = stmt(Stated(FIRST, date(2024, 1, 31), D(0)), iban="DE02120300000000202051")
    both = camt053(stated(WORLD, FIRST, date(2024, 1, 31), OPENING)).replace(
        "</Stmt></BkToCstmrStmt>", f"{ntry(FIRST, D(1), status='PDNG')}</Stmt>{other}</BkToCstmrStmt>"
    )
    assert ask(connected, "import", written(connected, both), "--account", "3000") == 0
    out = capsys.readouterr().out
    assert "1 statement of other accounts left out" in out
    assert "1 entry left out: not booked" in out

    with pytest.raises(Failure, match=r"holds no statement of Kontist …001S EUR: it is of …2051 EUR, …3000 EUR"):
        ask(connected, "import", written(connected, both), "--account", OTHER_IBAN)
    with pytest.raises(WrongUsage, match="is connected already: Kontist"):
        ask(connected, "import", written(connected, both), "--new", "--name", "Elsewhere")
    dollars = camt053(Stated(FIRST, date(2024, 1, 31), D(0)), currency="USD")
    with pytest.raises(Failure, match=r"it is of …3000 USD"):
        ask(connected, "import", written(connected, dollars), "--account", "3000")


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


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "takes files, --list or --undo"),
        (("FILE", "--list"), "takes files, --list or --undo"),
        (("FILE", "--new"), "needs the name of its bank"),
        (("FILE", "--name", "x"), "--name is of a new account"),
        (("FILE", "--new", "--name", "x", "--account", "3000"), "needs the name of its bank"),
        (("FILE", "--account", "9999"), "No account has this id, or a number that ends so"),
        (("FILE", "--new", "--name", "x", "--currency", "USD"), "The file is in EUR"),
        (("missing.xml",), "There is no such file"),
        (("FILE", "--mapping", "missing.toml"), "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(arguments: tuple[str, ...], why: str, connected: Path) -> None:
    path = written(connected, camt053(Stated(FIRST, date(2024, 1, 31), D(0)), iban="DE02120300000000202051"))
    before = (connected / "raw.duckdb").read_bytes()

    with pytest.raises(Failure, match=why):
        ask(connected, "import", *(path if one == "FILE" else one for one in arguments))

    assert (connected / "raw.duckdb").read_bytes() == before


def test_days_that_are_not_over_are_refused(connected: Path) -> None:
    today = datetime.now(UTC).date()

    with pytest.raises(Failure, match="a day that is not over"):
        ask(connected, "import", written(connected, camt053(Stated(FIRST, today, D(0)))), "--account", "3000")


def test_of_several_files_all_come_in_or_none(connected: Path) -> None:
    good = written(connected, camt053(stated(WORLD, FIRST, date(2024, 1, 31), OPENING)), "good.xml")
    wrong = written(connected, camt053(stated(WORLD, CONNECTED, LAST, OPENING)).replace("31.00", "31.01"), "wrong.xml")

    with pytest.raises(Failure, match=r"wrong.xml was not imported"):
        ask(connected, "import", good, wrong, "--account", "3000")

    assert rows(connected, "select count(*) from imported_files") == [(0,)]


def test_a_dry_run_shows_counts_and_sums_and_changes_nothing(connected: Path, capsys: Any) -> None:
    path = written(connected, camt053(*monthly(WORLD, FIRST, LAST, OPENING)))
    before = (connected / "raw.duckdb").read_bytes()

    assert ask(connected, "import", path, "--account", "3000", "--dry-run") == 0
    assert "can be imported: 15 statements of Kontist …3000 in CAMT.053" in capsys.readouterr().out
    assert ask(connected, "import", path, "--account", "3000", "--dry-run", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)["files"]
    assert (shown["status"], shown["file_id"], shown["money_out"]) == ("read", None, "-1249.86")
    assert (connected / "raw.duckdb").read_bytes() == before


def test_an_export_of_ours_is_no_proof_of_the_account_that_it_is_of(connected: Path, tmp_path: Path) -> None:
    assert ask(connected, "export", "--format", "camt053", "--account", "3000", "--out", str(tmp_path)) == 0

    with pytest.raises(Failure, match="It was exported from a ledger"):
        ask(connected, "import", str(tmp_path / "ledger.camt053.xml"), "--account", "3000")


def test_a_ledger_that_a_check_refuses_names_the_way_back(connected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise ChecksFailed("A check failed")

    monkeypatch.setattr(file_import, "build_and_publish", refused)

    with pytest.raises(ChecksFailed, match=r"`python -m pipelines import --undo f-[0-9a-f]{12}` takes it back") as caught:
        ask(connected, "import", written(connected, camt053(stated(WORLD, FIRST, LAST, OPENING))), "--account", "3000")

    assert caught.value.exit_status == 3


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


@pytest.fixture
def busy(connected: Path) -> Iterator[Path]:
    with held(connected, "run"):
        yield connected


def test_two_at_once_do_not_mix(busy: Path) -> None:
    with pytest.raises(Failure, match="holds"):
        ask(busy, "import", written(busy, camt053(stated(WORLD, FIRST, LAST, OPENING))), "--account", "3000")
