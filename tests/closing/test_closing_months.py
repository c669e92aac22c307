"""`close` and `reopen`: what is closed, what is refused, and what a bank's later changes do to it."""

import csv
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents.closing_trail import ClosingTrail
from pipelines.consents.consent_rows import remove_rows
from pipelines.errors import CHECKS_FAILED, GOOD, PARTIAL, Failure, WrongUsage
from pipelines.notify.notices import about_closed_months
from pipelines.questions.status import gather
from pipelines.read.options import Options
from pipelines.run import summary
from pipelines.settings import load_settings
from sources.sandbox import SandboxBank
from tests.questions.asked import ask, printed_json
from tests.support import FirstRuns, Shared, a_bank, read, rows

MONTH = "2024-09"
AFTER = "2024-10-01"


@pytest.fixture
def folder(first_runs: FirstRuns, tmp_path: Path) -> Path:
    first_runs.copy(tmp_path, sources=("kontist",))
    return tmp_path


@contextmanager
def changed(first_runs: FirstRuns, shared: Shared, data_dir: Path) -> Iterator[SandboxBank]:
    """Puts a data directory into `data_dir` in which the month is closed, and its bank; the folder is made once."""

    def fill(made: Path) -> None:
        first_runs.copy(made, sources=("kontist",))
        assert ask(made, "close", "--month", MONTH) == GOOD

    shutil.copytree(shared.folder("closed-month", fill), data_dir, dirs_exist_ok=True)
    world = first_runs.copy(data_dir.with_name(f"{data_dir.name}-unused"), sources=("kontist",))
    with a_bank(world) as bank:
        yield bank


def journal_through(data_dir: Path, day: str) -> list[str]:
    """The entries of the exported journal through a day."""
    assert ask(data_dir, "export", "--format", "beancount") == GOOD
    text = (data_dir / "export" / "ledger.beancount").read_text()
    entries = [one for one in text.split("\n\n") if len(one) > 12 and one[10:13] == " * "]
    return sorted(one for one in entries if one[:10] <= day)


def test_a_closed_month_has_the_figures_that_anybody_can_compute_from_the_exported_csv(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", MONTH, "--json") == GOOD
    closed = [one for one in printed_json(capsys)["closed"] if one["month"] == MONTH]
    assert ask(folder, "export", "--format", "csv", "--out", str(folder / "out")) == GOOD
    with (folder / "out" / "transactions.csv").open(encoding="utf-8-sig", newline="") as file:
        exported = list(csv.DictReader(file))
    assert len(closed) == 2
    for one in closed:
        own = [
            row for row in exported
            if row["account_id"] == one["account_id"] and row["status"] == "booked" and row["booked_on"].startswith(MONTH)
        ]  # fmt: skip
        lines = sorted(f"{row['booked_on']};{row['transaction_id']};{row['amount']};{row['currency']}\n".encode() for row in own)
        assert len(own) == one["transactions"] > 0
        assert hashlib.sha256(b"".join(lines)).hexdigest() == one["transactions_sha256"]
        balances = rows(
            folder,
            "select min_by(opening_balance, day), max_by(closing_balance, day), sum(money_in), sum(money_out) from balances_daily"
            f" where account_id = '{one['account_id']}' and strftime(day, '%Y-%m') = '{MONTH}'",
        )
        named = (one["opening_balance"], one["closing_balance"], one["money_in"], one["money_out"])
        assert [tuple(map(str, row)) for row in balances] == [named]


def test_a_month_that_is_closed_already_is_said_to_be_and_nothing_changes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", MONTH) == GOOD
    before = (folder / "raw.duckdb").read_bytes()
    capsys.readouterr()

    assert ask(folder, "close", "--month", MONTH) == GOOD

    assert f"{MONTH} of Kontist …4711 EUR is closed already, since" in capsys.readouterr().out
    assert (folder / "raw.duckdb").read_bytes() == before


def test_what_a_bank_changes_afterwards_is_corrected_in_the_open_month_until_the_month_is_reopened(
    first_runs: FirstRuns, shared: Shared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with changed(first_runs, shared, tmp_path / "data") as bank:
        folder = tmp_path / "data"
        filed = journal_through(folder, "2024-09-30")
        account = bank.world.account("4711")
        own = [one for one in account.transactions if one.booked_on and f"{one.booked_on:%Y-%m}" == MONTH]
        bank.world.insert(account, date(2024, 9, 12), "-12.34")
        bank.world.correct(own[3], amount="-1.00")
        bank.world.delete(own[5])
        report = read(bank, folder, Options(("kontist",), full_refresh=True))
        again = read(bank, folder, Options(("kontist",)))

    named = {(one.transaction_id, one.change) for one in report.closed_changes}
    assert named == set(rows(folder, "select transaction_id, change from closed_month_changes"))
    assert (len(named), report.exit_status) == (3, PARTIAL)
    assert (again.closed_changes, again.exit_status) == ([], GOOD)
    (sentence,) = [one for one in summary.troubles(report) if "closed month 2024-09" in one]
    assert all(transaction_id in sentence for transaction_id, _ in named)
    (notice,) = about_closed_months(report.closed_changes)
    assert notice.payload == {"account_id": report.closed_changes[0].account_id, "month": MONTH, "transactions": 3}
    assert {(one.transaction_id, one.change) for one in gather(load_settings(data_dir=folder)).closed_changes} == named
    found = rows(folder, "select change, count(*) from closed_month_changes group by all order by all")
    assert found == [("changed", 1), ("new", 1), ("removed", 1)]
    assert journal_through(folder, "2024-09-30") == filed
    dated = [one for one in journal_through(folder, AFTER) if "Correction of 2024-09" in one]
    assert [one[:10] for one in dated] == [AFTER] * 3
    capsys.readouterr()
    assert ask(folder, "close", "--list", "--json") == GOOD
    listed = printed_json(capsys)
    assert [one["changed_transactions"] for one in listed["closed"] if one["month"] == MONTH] == [3, 0]
    assert ask(folder, "close", "--verify") == GOOD
    capsys.readouterr()

    assert ask(folder, "prove", "4711", "--from", f"{MONTH}-01", "--to", "2024-09-30", "--json") == GOOD
    (view,) = printed_json(capsys)["closed_months"]
    assert (view["differs"], view["now"]["transactions"], len(view["changes"])) == (True, view["as_closed"]["transactions"], 3)
    assert view["as_closed"]["transactions_sha256"] != view["now"]["transactions_sha256"]
    assert ask(folder, "export", "--format", "mt940", "--from", f"{MONTH}-01", "--to", "2024-09-30") == GOOD
    assert "was closed, and its bank has changed 3 transactions since: the file shows them" in capsys.readouterr().out

    assert ask(folder, "export", "--format", "ofx") == GOOD
    said = capsys.readouterr().out
    assert "4711 EUR, 2024-09 was closed, and its bank has changed 3 transactions since: the file shows them" in said
    of_all = ("prove", "--from", f"{MONTH}-01", "--to", "2024-09-30")
    assert ask(folder, *of_all, "--json") == GOOD
    assert [one["closed_months"][0]["differs"] for one in printed_json(capsys)["certificates"]] == [True, False]
    assert ask(folder, *of_all) == GOOD
    said = capsys.readouterr().out
    assert "Closed months of Kontist …4711 EUR that differ since:\nclosed    2024-09 on" in said
    assert "1 closed month is as closed" in said

    assert ask(folder, "reopen", "--month", MONTH, "--reason", "the bank was right", "--json") == GOOD

    capsys.readouterr()
    assert rows(folder, "select count(*) from corrections") == [(0,)]
    assert journal_through(folder, "2024-09-30") != filed
    assert ask(folder, "close", "--list", "--json") == GOOD
    capsys.readouterr()
    assert ask(folder, "close", "--verify") == GOOD
    assert "are as they were written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("close", "--month", "2199-01"), WrongUsage, "2199-01 is not over"),
        (("close", "--month", MONTH, "--account", "nobody"), WrongUsage, "No account has this id"),
        (("close", "--month", "2024-10"), Failure, "No month was closed. Not complete: Kontist …4711 EUR, 2024-10"),
        (("reopen", "--month", MONTH, "--reason", "x"), WrongUsage, "2024-09 is not closed"),
    ],
)
def test_what_cannot_be_closed_or_reopened_is_refused_by_name_and_changes_nothing(
    folder: Path, arguments: tuple[str, ...], error: type[Failure], said: str
) -> None:
    before = (folder / "raw.duckdb").read_bytes()
    with pytest.raises(error, match=said):
        ask(folder, *arguments)
    assert (folder / "raw.duckdb").read_bytes() == before
    assert rows(folder, "select count(*) from closings") == [(0,)]


def test_of_months_that_are_not_complete_the_first_of_each_account_is_named(folder: Path) -> None:
    with pytest.raises(Failure, match="Not complete: ") as refused:
        ask(folder, "close", "--month", "2024-12")
    assert refused.value.cause.count("Kontist …4711 EUR") == 1
    assert refused.value.cause.endswith("and 4 more months")
    assert "--account" in refused.value.next_step


@pytest.mark.parametrize("text", ["2024-13", "2024-9", "march", "2024-09-01"])
def test_a_text_that_is_no_month_ends_with_2(folder: Path, text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        ask(folder, "close", "--month", text)
    assert ended.value.code == WrongUsage.exit_status


def test_an_incomplete_month_that_a_person_closes_is_marked_in_the_ledger_and_in_the_trail(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", "2024-10", "--account", "4711", "--allow-incomplete", "--json") == GOOD
    months = {one["month"]: one["complete"] for one in printed_json(capsys)["closed"]}
    assert (months["2024-09"], months["2024-10"]) == (True, False)
    assert rows(folder, "select complete from closings where month = '2024-10-01'") == [(False,)]
    with closing(sqlite3.connect(folder / "vault.sqlite")) as vault:
        figures = [json.loads(text) for (text,) in vault.execute("select figures from closing_figures")]
    assert [one["complete"] for one in figures if one["month"] == "2024-10"] == [False]


def test_a_command_that_was_killed_before_its_trail_is_finished_by_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ClosingTrail, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(folder, "close", "--month", MONTH)
    assert ask(folder, "close", "--verify") == CHECKS_FAILED
    assert "closed in raw history and not in the trail" in capsys.readouterr().out

    assert ask(folder, "close", "--month", MONTH) == GOOD

    assert "were not in the trail yet" in capsys.readouterr().out
    assert ask(folder, "close", "--verify") == GOOD


def test_a_reopening_that_was_killed_is_finished_by_the_same_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(folder, "close", "--month", MONTH) == GOOD

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.store.closed_months.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(folder, "reopen", "--month", MONTH, "--reason", "x")
    assert ask(folder, "close", "--verify") == CHECKS_FAILED

    assert ask(folder, "reopen", "--month", MONTH, "--reason", "x") == GOOD

    assert ask(folder, "close", "--verify") == GOOD
    assert rows(folder, "select count(*) from closings where month = '2024-09-01'") == [(0,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update closings.months set closing_balance = closing_balance + 1", "does not have the figures of record"),
        ("delete from closings.transactions", "its transactions in raw history differ from the closed ones"),
        ("update closings.legs set amount = amount + 1", "its entries in raw history differ from the closed ones"),
        ("delete from closings.months", "and not in raw history"),
    ],
)
def test_what_was_altered_in_raw_history_is_found(
    folder: Path, statement: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", MONTH) == GOOD
    with duckdb.connect(folder / "raw.duckdb") as connection:
        connection.execute(statement)
    capsys.readouterr()

    assert ask(folder, "close", "--verify") == CHECKS_FAILED
    assert said in capsys.readouterr().out


def test_without_a_ledger_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="There is no ledger"):
        ask(tmp_path, "close", "--month", MONTH)
    with pytest.raises(WrongUsage, match="There is no ledger"):
        ask(tmp_path, "close", "--list")
    assert ask(tmp_path, "close", "--verify") == GOOD


def test_the_erasure_of_an_account_removes_its_closed_months(folder: Path) -> None:
    assert ask(folder, "close", "--month", MONTH) == GOOD
    ((own,),) = rows(folder, "select min(account_id) from accounts")
    remove_rows(folder, "kontist", [], [own], lambda _: None)
    for table in ("months", "transactions", "legs"):
        assert rows(folder, f"select count(*) from closings.{table} where account_id = '{own}'", of="raw") == [(0,)]
        assert rows(folder, f"select count(*) > 0 from closings.{table}", of="raw") == [(True,)]
