"""`import`: what is refused by name, and changes nothing."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ChecksFailed, Failure, WrongUsage
from pipelines.run import file_import
from pipelines.run.file_accounts import Known, in_its_currency
from pipelines.store.lock import held
from sources.files.values import Page
from tests.files.bank_files import OTHER_IBAN, Stated, camt053, monthly, ntry, stated, stmt
from tests.files.scene import CONNECTED, FIRST, LAST, OPENING, WORLD, D, booked, coverage, of_the_world, written
from tests.questions.asked import ask
from tests.support import rows


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


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "takes files, --list, --undo ID, --erase ID or --assign"),
        (("FILE", "--list"), "takes files, --list, --undo ID, --erase ID or --assign"),
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


def test_a_currency_that_is_named_is_that_of_the_account_or_refused(connected: Path) -> None:
    text = "Tag;Betrag\n2024-01-02;-5,00\n"
    mapping = written(connected, '[columns]\nbooked_on = "Tag"\namount = "Betrag"\n', "mapping.toml")
    arguments = ("import", written(connected, text, "file.csv"), "--account", "3000", "--mapping", mapping, "--currency")

    with pytest.raises(WrongUsage, match="is in EUR"):
        ask(connected, *arguments, "USD")
    assert ask(connected, *arguments, "EUR") == 0
    assert rows(connected, "select distinct currency from file.transactions", of="raw") == [("EUR",)]


def test_an_account_without_a_currency_takes_that_of_its_file_or_the_named_one() -> None:
    account = Known("kontomatik:a", "kontomatik", "1", None, "Bank")

    assert in_its_currency(account, Page(place="file", number=None, currency=None), "PLN").currency == "PLN"
    assert in_its_currency(account, Page(place="file", number=None, currency="CZK"), None).currency == "CZK"
    for none in (None, "zloty"):
        with pytest.raises(WrongUsage, match="Neither the account nor the file names a currency"):
            in_its_currency(account, Page(place="file", number=None, currency=None), none)


def test_days_that_are_not_over_are_refused(connected: Path) -> None:
    today = datetime.now(file_import.CLOCK).date()

    with pytest.raises(Failure, match="a day that is not over"):
        ask(connected, "import", written(connected, camt053(Stated(FIRST, today, D(0)))), "--account", "3000")


def test_of_several_files_all_come_in_or_none(connected: Path) -> None:
    good = written(connected, camt053(stated(WORLD, FIRST, date(2024, 1, 31), OPENING)), "good.xml")
    wrong = written(connected, camt053(stated(WORLD, CONNECTED, LAST, OPENING)).replace("31.00", "31.01"), "wrong.xml")

    with pytest.raises(Failure, match=r"wrong.xml was not imported"):
        ask(connected, "import", good, wrong, "--account", "3000")

    assert rows(connected, "select count(*) from imported_files") == [(0,)]


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


@pytest.fixture
def busy(connected: Path) -> Iterator[Path]:
    with held(connected, "run"):
        yield connected


def test_two_at_once_do_not_mix(busy: Path) -> None:
    with pytest.raises(Failure, match="holds"):
        ask(busy, "import", written(busy, camt053(stated(WORLD, FIRST, LAST, OPENING))), "--account", "3000")
