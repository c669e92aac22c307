"""`close` with its real parts: backups that are restored, processes at the same time and killed ones, a vault in PostgreSQL."""

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import CHECKS_FAILED, GOOD, Busy, WrongUsage
from pipelines.store.lock import held
from tests.consents.killing import Killer
from tests.consents.postgres import empty_database
from tests.questions.asked import ask, printed_json
from tests.support import VAULT_KEY, Ended, FirstRuns, Shared, begun, command, ended, rows

MONTH = "2024-09"
CLOSE = ("close", "--month", MONTH)
REOPEN = ("reopen", "--month", MONTH, "--reason", "filed again")
STEPS: dict[tuple[str, ...], list[str]] = {}
"""What a command does where nobody kills it: the same each time, so it is tried once."""


@pytest.fixture
def folder(first_runs: FirstRuns, tmp_path: Path) -> Path:
    data_dir = tmp_path / "data"
    first_runs.copy(data_dir, sources=("kontist",))
    return data_dir


@pytest.fixture
def closed(first_runs: FirstRuns, shared: Shared, tmp_path: Path) -> Path:
    """A data directory in which the month is closed."""

    def fill(made: Path) -> None:
        first_runs.copy(made, sources=("kontist",))
        assert ask(made, *CLOSE) == GOOD

    return Path(shutil.copytree(shared.folder("closed-month", fill), tmp_path / "data"))


def verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """The status of `close --verify`, and its faults."""
    capsys.readouterr()
    status = ask(folder, "close", "--verify", "--json")
    return status, printed_json(capsys)["faults"]


def restored(folder: Path, backup: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `restore` says."""
    capsys.readouterr()
    assert ask(folder, "restore", str(backup), "--yes") == GOOD
    return capsys.readouterr().out


def times_closed(folder: Path) -> Counter[tuple[str, str]]:
    """How often the trail says of each account and month that it was closed."""
    with closing(sqlite3.connect(folder / "vault.sqlite")) as vault:
        found = vault.execute(
            "select account_id, month from closings join closing_figures using (hash) where what = 'closed'"
        ).fetchall()
    return Counter(found)


def test_closed_months_are_verified_after_a_lost_data_directory_comes_back_from_its_backup(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup"
    assert ask(closed, "backup", str(backup)) == GOOD
    before = times_closed(closed)
    shutil.rmtree(closed)
    closed.mkdir()

    said = restored(closed, backup, capsys)

    assert "closed in" not in said
    assert verified(closed, capsys) == (GOOD, [])
    assert times_closed(closed) == before
    assert rows(closed, "select count(*) from closings")[0][0] == len(before) > 0


def test_a_restore_that_takes_a_closing_back_says_so_and_closing_again_repairs_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup"
    assert ask(folder, "backup", str(backup)) == GOOD
    assert ask(folder, *CLOSE) == GOOD

    said = restored(folder, backup, capsys)

    assert f"{MONTH}: closed by record" in said
    assert "and not in raw history" in said
    assert verified(folder, capsys)[0] == CHECKS_FAILED
    assert ask(folder, *CLOSE) == GOOD
    assert verified(folder, capsys) == (GOOD, [])


def test_a_restore_that_takes_a_reopening_back_says_so_and_reopening_again_repairs_it(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup"
    assert ask(closed, "backup", str(backup)) == GOOD
    assert ask(closed, *REOPEN) == GOOD

    said = restored(closed, backup, capsys)

    assert "reopened in the trail and closed in raw history: `reopen` it again" in said
    assert ask(closed, *REOPEN) == GOOD
    assert verified(closed, capsys) == (GOOD, [])


def test_a_month_closed_anew_since_the_backup_is_named_and_recorded_again_by_the_two_commands(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup"
    assert ask(closed, "backup", str(backup)) == GOOD
    assert ask(closed, *REOPEN) == GOOD
    assert ask(closed, *CLOSE) == GOOD

    said = restored(closed, backup, capsys)

    assert "raw history does not have the figures of record" in said
    assert "`python -m pipelines reopen` and `close` with this month record it anew" in said
    assert ask(closed, *REOPEN) == GOOD
    assert ask(closed, *CLOSE) == GOOD
    assert verified(closed, capsys) == (GOOD, [])


def test_of_two_that_close_a_month_at_once_one_closes_it_and_the_other_says_why_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"PIPELINES__VAULT_KEY": VAULT_KEY, "PIPELINES__DATA_DIR": str(folder), "PIPELINES__REPORT": "false"}
    both = [begun(folder, environ, *CLOSE) for _ in range(2)]
    first, second = sorted((ended(one) for one in both), key=lambda one: (one.status, "is closed already" in one.out))

    assert (first.status, f"Closed {MONTH} of" in first.out) == (GOOD, True)
    late = f"{MONTH} of Kontist …4711 EUR is closed already" in second.out
    assert (second.status, late) == (GOOD, True) or (second.status, "holds" in second.err) == (Busy.exit_status, True)
    assert set(times_closed(folder).values()) == {1}
    assert verified(folder, capsys) == (GOOD, [])


def test_a_data_directory_in_use_closes_and_reopens_nothing(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(closed, "run"):
        for arguments in (CLOSE, REOPEN):
            with pytest.raises(Busy, match=r"\(run, since .* holds"):
                ask(closed, *arguments)
    assert verified(closed, capsys) == (GOOD, [])


def killed_before(step: str, folder: Path, *arguments: str) -> None:
    """Runs a command that is killed before one of its steps."""
    environ = {"PIPELINES__DATA_DIR": str(folder), "PIPELINES__VAULT_KEY": VAULT_KEY, "PIPELINES__REPORT": "false"}
    if arguments not in STEPS:
        trial = shutil.copytree(folder, folder.with_name("trial"))
        whole = Killer().run(environ | {"PIPELINES__DATA_DIR": str(trial)}, *arguments, quick=False)
        assert whole.status == GOOD
        STEPS[arguments] = whole.steps
    victim = Killer().run(environ, *arguments, before=STEPS[arguments].index(step) + 1, quick=False)
    assert (victim.killed, victim.steps[-1]) == (True, step)


@pytest.mark.parametrize(
    ("step", "meanwhile"),
    [
        ("file raw.new.duckdb", None),
        ("vault append", "closed in raw history and not in the trail"),
        ("vault belongs_to", None),
        ("file ledger.new.duckdb", None),
    ],
)
def test_a_closing_that_is_killed_is_finished_by_the_next_one(
    folder: Path, step: str, meanwhile: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_before(step, folder, *CLOSE)
    _, faults = verified(folder, capsys)
    assert [meanwhile in one for one in faults] == [True] * len(faults) if meanwhile else faults == []
    assert bool(faults) is bool(meanwhile)

    assert ask(folder, *CLOSE) == GOOD

    assert verified(folder, capsys) == (GOOD, [])
    assert set(times_closed(folder).values()) == {1}
    assert rows(folder, "select count(*) from closings")[0][0] == len(times_closed(folder))


@pytest.mark.parametrize("step", ["file raw.new.duckdb", "file ledger.new.duckdb"])
def test_a_reopening_that_is_killed_is_finished_by_the_same_command(
    closed: Path, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_before(step, closed, *REOPEN)
    status, _ = verified(closed, capsys)
    if step == "file raw.new.duckdb":
        assert status == CHECKS_FAILED
        assert ask(closed, *REOPEN) == GOOD
    else:  # it is open: only the ledger shows it as closed until it is built again
        assert status == GOOD
        with pytest.raises(WrongUsage, match="2024-09 is not closed"):
            ask(closed, *REOPEN)

    assert verified(closed, capsys) == (GOOD, [])
    assert rows(closed, "select count(*) from closings where month = '2024-09-01'") == [(0,)]


def test_all_commands_work_with_a_vault_in_postgresql(folder: Path, postgresql: str) -> None:
    environ = {
        "PIPELINES__DATA_DIR": str(folder),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "PIPELINES__VAULT_URL": empty_database(postgresql),
        "PIPELINES__REPORT": "false",
    }

    def asked(*arguments: str) -> Ended:
        return command(folder, environ, *arguments, "--json")

    closed = asked(*CLOSE)
    assert (closed.status, closed.err) == (GOOD, "")
    assert {one["what"] for one in closed.parsed["records"]} == {"closed"}
    assert asked(*REOPEN).status == GOOD
    assert asked(*CLOSE).status == GOOD
    listed: dict[str, Any] = asked("close", "--list").parsed
    number = len(closed.parsed["records"])
    assert [one["what"] for one in listed["trail"]] == ["closed"] * number + ["reopened"] * number + ["closed"] * number
    verified = asked("close", "--verify", "--record", closed.parsed["records"][-1]["hash"])
    assert (verified.status, verified.parsed["faults"], verified.parsed["records"]) == (GOOD, [], 3 * number)
    assert not (folder / "vault.sqlite").exists()
    assert VAULT_KEY not in json.dumps(listed)
