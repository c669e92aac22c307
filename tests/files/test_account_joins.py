"""An account that is known from files, and is connected later or named by a person: one account, with every payment once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.consent_rows import remove_rows
from pipelines.errors import Failure
from pipelines.read.options import Options
from pipelines.run.account_joins import connected_since
from pipelines.run.file_accounts import Known
from pipelines.run.file_import import Wanted, import_files
from pipelines.run.file_import import read as files_at
from pipelines.store.lock import held
from sources.files.detection import Hints
from sources.sandbox import SandboxBank
from tests.files.bank_files import IBAN, MAPPING, Row, Stated, camt053, csv, mt940, stated
from tests.files.scene import CLOSING, FIRST, LAST, OPENING, WORLD, D, booked, of_the_world, written
from tests.questions.asked import ask, printed_json
from tests.support import FirstRuns, a_bank, read, rows, settings_for

KONTIST = Options(("kontist",))
GERMAN = "37040044/0532013000"
LEDGER = (
    "select transaction_id, account_id, source, booked_on, value_on, amount, description from transactions order by all",
    "select account_id, day, status, proof, difference_amount from coverage order by all",
    "select * from balances_daily order by all",
    "select account_id, display_name, balance, balance_on, first_booked_on from accounts order by all",
    "select account_id, status, transaction_id, bank_transaction_id from file_entries order by all",
)
"""What the ledger says of payments, days and balances, without the times at which something was read."""


@contextmanager
def a_world(first_runs: FirstRuns, folder: Path) -> Iterator[tuple[SandboxBank, Path, Stated, str]]:
    """A bank, a data directory that has read it, and a statement of its first days there and of the month before."""
    connected = folder / "connected"
    world = first_runs.copy(connected, sources=("kontist",))
    account, iban, first = rows(
        connected, "select account_id, iban, first_booked_on from accounts order by first_booked_on, account_id limit 1"
    )[0]
    until = first + timedelta(days=9)
    shown: list[Row] = [
        (day, amount, "")
        for day, amount in rows(
            connected,
            "select booked_on, amount from transactions where status = 'booked'"
            f" and account_id = '{account}' and booked_on <= '{until}' order by booked_on, transaction_id",
        )
    ]
    ((opening,),) = rows(
        connected, f"select opening_balance from balances_daily where account_id = '{account}' and day = '{first}'"
    )
    older: list[Row] = [(first - timedelta(days=20), D("-7.50"), "older"), (first - timedelta(days=20), D("-7.50"), "the same")]
    assert len(shown) > 3
    with a_bank(world) as bank:
        yield bank, connected, stated([*older, *shown], first - timedelta(days=30), until, opening + 15), iban


def imported(bank: SandboxBank, data_dir: Path, path: Path, wanted: Wanted) -> Any:
    now = bank.world.clock.now()
    with held(data_dir, "test"):
        return import_files(settings_for(bank, data_dir), files_at([path], Hints()), wanted, now)


@pytest.mark.parametrize("form", ["camt053", "mt940"])
def test_a_file_before_its_bank_and_a_bank_before_its_file_give_one_ledger(
    form: str, first_runs: FirstRuns, tmp_path: Path
) -> None:
    with a_world(first_runs, tmp_path) as (bank, connected, statement, iban):
        path, fresh = tmp_path / "file", tmp_path / "fresh"
        german = f"{iban[4:12]}/{iban[12:].lstrip('0')}"
        path.write_text(camt053(statement, iban=iban) if form == "camt053" else mt940(statement, account=german))
        imported(bank, fresh, path, Wanted(new="Kontist"))
        assert rows(fresh, "select count(*), any_value(source) from accounts") == [(1, "file")]

        report = read(bank, fresh, KONTIST)
        imported(bank, connected, path, Wanted())

        (note,) = (one for one in report.notes if "known from files" in one)
        assert "what 1 file brought belongs to that one from now on" in note
        assert iban not in note
        for query in LEDGER:
            assert rows(fresh, query) == rows(connected, query), query
        assert rows(fresh, "select count(*) from transactions where source = 'file'") == [(2,)]
        assert rows(fresh, "select count(*) from accounts where source = 'file'") == [(0,)]

        assert not [one for one in read(bank, fresh, KONTIST).notes if "known from files" in one]
        (again,) = imported(bank, fresh, path, Wanted())
        assert again.is_known


def test_files_that_differ_from_the_bank_yield_to_it_and_the_run_says_on_how_many_days(
    first_runs: FirstRuns, tmp_path: Path
) -> None:
    with a_world(first_runs, tmp_path) as (bank, connected, statement, iban):
        path, fresh = tmp_path / "file.xml", tmp_path / "fresh"
        wrong = Stated(statement.first, statement.last, statement.opening, statement.rows[:-1])
        path.write_text(camt053(wrong, iban=iban))
        imported(bank, fresh, path, Wanted(new="Kontist"))

        report = read(bank, fresh, KONTIST)

        (note,) = (one for one in report.notes if "known from files" in one)
        day = statement.rows[-1][0]
        assert f"other entries than the bank on 1 day, the first is {day}: the bank's entries count" in note
        shown = f"select count(*) from transactions where status = 'booked' and booked_on = '{day}'"
        assert rows(fresh, shown) == rows(connected, shown)


def test_a_closed_month_keeps_the_account_that_it_was_closed_for(
    first_runs: FirstRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_world(first_runs, tmp_path) as (bank, _, statement, iban):
        path, fresh = tmp_path / "file.xml", tmp_path / "fresh"
        path.write_text(camt053(statement, iban=iban))
        imported(bank, fresh, path, Wanted(new="Kontist"))
        monkeypatch.setenv("PIPELINES__VAULT_KEY", settings_for(bank, fresh).vault_key or "")
        assert ask(fresh, "close", "--month", f"{statement.rows[0][0]:%Y-%m}", "--allow-incomplete") == 0

        report = read(bank, fresh, KONTIST)

        assert (report.refused, len(report.closed_changes)) == (None, 2)
        assert rows(fresh, "select source, gone_at is not null from accounts where source = 'file'") == [("file", True)]
        assert rows(fresh, "select distinct account_id like 'kontist:%' from transactions") == [(True,)]
        assert ask(fresh, "close", "--verify") == 0
        (again,) = imported(bank, fresh, path, Wanted())
        assert again.is_known

        ((its,),) = rows(fresh, "select distinct account_id from file.files", of="raw")
        remove_rows(fresh, "kontist", [], [its], lambda _: None)
        left = "select count(*) from (select account_id from file.accounts union all select account_id from closings.months)"
        assert rows(fresh, left, of="raw") == [(0,)]


def test_an_account_without_a_number_is_the_one_that_a_person_names(connected: Path, capsys: Any) -> None:
    mapping = written(connected, MAPPING, "mapping.toml")
    path = written(connected, csv(WORLD[:4]), "umsatz.csv", "cp1252")
    days = ("--mapping", mapping, "--from", "2024-01-01", "--to", "2025-03-02")
    assert ask(connected, "import", path, "--new", "--name", "Volksbank", *days) == 0
    assert rows(connected, "select count(*) from accounts") == [(3,)]
    capsys.readouterr()

    assert ask(connected, "import", "--assign", "Volksbank", "--account", "3000", "--json") == 0

    done = printed_json(capsys)
    assert (done["account"], done["files"], done["notes"]) == ("kontist:a", 1, [])
    assert rows(connected, "select count(*) from accounts") == [(2,)]
    assert booked(connected) == [one for one in of_the_world() if one != (date(2025, 3, 3), D("-20.00"))]
    assert ask(connected, "import", path, "--account", "3000", *days) == 0
    assert "was imported before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--assign", "Volksbank"), "needs the account that it is"),
        (("--assign", "3000", "--account", "001S"), "A bank shows the account"),
        (("--assign", "Volksbank", "--account", "Volksbank"), "mean the same account"),
        (("--assign", "Nowhere", "--account", "3000"), "No account has this id"),
        (("--assign", "Volksbank", "--account", "3000"), r"not assigned\. Its files have other entries than the bank on 1 day"),
        (("--assign", "Dollars", "--account", "3000"), "is in USD, and Kontist …3000 in EUR"),
    ],
)
def test_an_account_that_cannot_be_the_other_one_is_refused(arguments: tuple[str, ...], why: str, connected: Path) -> None:
    mapping = written(connected, MAPPING, "mapping.toml")
    path = written(connected, csv([(date(2025, 3, 20), D("1.00"), "x")]), "umsatz.csv", "cp1252")
    assert ask(connected, "import", path, "--new", "--name", "Volksbank", "--mapping", mapping) == 0
    dollars = written(connected, csv([(date(2024, 3, 20), D("1.00"), "x")]).replace("EUR", "USD"), "dollars.csv", "cp1252")
    assert ask(connected, "import", dollars, "--new", "--name", "Dollars", "--mapping", mapping) == 0
    before = (connected / "raw.duckdb").read_bytes()

    with pytest.raises(Failure, match=why):
        ask(connected, "import", *arguments)

    assert (connected / "raw.duckdb").read_bytes() == before


def test_differences_that_are_accepted_leave_the_days_to_the_bank(connected: Path) -> None:
    path = written(
        connected, mt940(Stated(date(2025, 3, 20), date(2025, 3, 20), D(0), [(date(2025, 3, 20), D(1), "x")]), account="77")
    )
    assert ask(connected, "import", path, "--new", "--name", "Volksbank") == 0

    assert ask(connected, "import", "--assign", "77", "--account", "3000", "--accept-differences") == 0

    assert booked(connected) == of_the_world()[-4:]
    assert rows(connected, "select account_id, status from file_entries") == [("kontist:a", "contradicted")]


def test_two_files_of_one_account_that_name_it_differently_make_one_account(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    older = written(folder, mt940(stated(WORLD, FIRST, date(2024, 12, 31), OPENING), account=GERMAN), "a")
    newer = written(folder, camt053(stated(WORLD, date(2024, 1, 1), LAST, OPENING), iban=IBAN), "b")

    for path in (older, newer):
        assert ask(folder, "import", path, "--new", "--name", "Commerzbank") == 0

    assert rows(folder, "select count(*), min(balance) from accounts") == [(1, CLOSING)]
    assert rows(folder, "select count(*) from transactions") == [(len(WORLD),)]


def known(account_id: str, number: str | None, currency: str | None = "EUR") -> Known:
    return Known(account_id, account_id.partition(":")[0], number, currency, "Bank")


@pytest.mark.parametrize(
    ("accounts", "pairs"),
    [
        ([known("file:1", IBAN), known("kontist:1", IBAN)], [("file:1", "kontist:1")]),
        ([known("file:1", GERMAN), known("kontist:1", IBAN)], [("file:1", "kontist:1")]),
        ([known("file:1", IBAN), known("kontomatik:1", IBAN, None)], [("file:1", "kontomatik:1")]),
        ([known("file:1", IBAN, "USD"), known("kontist:1", IBAN)], []),
        ([known("file:1", IBAN, "USD"), known("file:2", IBAN), known("kontomatik:1", IBAN, None)], []),
        ([known("file:1", IBAN), known("kontist:1", IBAN), known("kontomatik:1", IBAN)], []),
        ([known("file:1", "0532013000"), known("kontist:1", IBAN)], []),
        ([known("file:1", None), known("kontist:1", None)], []),
        ([known("kontist:1", IBAN), known("kontomatik:1", IBAN)], []),
    ],
)
def test_an_account_is_joined_by_itself_only_where_one_account_can_be_meant(
    accounts: list[Known], pairs: list[tuple[str, str]]
) -> None:
    assert [(one.account_id, its.account_id) for one, its in connected_since(accounts)] == pairs
