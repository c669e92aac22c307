"""`import --erase`: a file, or an account that is known from files only, is removed to the last byte, and a receipt says so."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Failure, WrongUsage
from pipelines.run import file_erasure
from pipelines.settings import Settings
from tests.files.bank_files import OTHER_IBAN, Stated, camt053, stated
from tests.files.scene import FIRST, LAST, OPENING, WORLD, D, booked, of_the_world, written
from tests.questions.asked import ask, printed_json
from tests.support import VAULT_KEY, rows

SECRET = "Kaution von Erika Beispiel"
NUMBER = "DE02120300000000202051"
STATED = Stated(FIRST, LAST, D(0), [(FIRST, D(7), SECRET), (LAST, D(-2), "x")])


def holding(folder: Path, *texts: str) -> set[str]:
    """The names of the files that hold one of these."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if any(text.encode() in path.read_bytes() for text in texts)}


@pytest.fixture
def known_by_a_file(connected: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """A data directory with a connected account, one that is known from a file, and the ids of that one and of its file."""
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    path = written(connected, camt053(STATED, iban=NUMBER), "erika.xml")
    assert ask(connected, "import", path, "--new", "--name", "Sparkasse") == 0
    ((account, file),) = rows(connected, "select account_id, file_id from imported_files")
    return connected, account, file


def test_an_account_of_files_is_erased_to_the_last_byte_and_no_other_row(
    known_by_a_file: tuple[Path, str, str], capsys: Any
) -> None:
    folder, account, file = known_by_a_file
    other = written(folder, camt053(stated(WORLD, FIRST, LAST, OPENING)), "other.xml")
    assert ask(folder, "import", other, "--account", "kontist:a") == 0
    assert ask(folder, "close", "--month", "2024-01", "--account", account, "--allow-incomplete") == 0
    assert ask(folder, "export", "--format", "csv") == 0
    (folder / "query.history").write_text(f"from transactions where description = '{SECRET}';\n")
    assert {"raw.duckdb", "ledger.duckdb", "transactions.csv"} <= holding(folder, SECRET)
    capsys.readouterr()

    assert ask(folder, "import", "--erase", account, "--yes", "--reason", "asked for by letter", "--json") == 0

    receipt = printed_json(capsys)
    assert (receipt["files"], receipt["accounts_removed"], receipt["reason"]) == ([file], 1, "asked for by letter")
    assert receipt["rows_removed"]["file.transactions"] == 2
    assert receipt["rows_removed"]["closings.transactions"] == 1
    assert holding(folder, SECRET, NUMBER, account) == set()
    assert holding(folder, file) == {path.name for path in (folder / "receipts").iterdir()}
    assert booked(folder) == of_the_world()
    assert rows(folder, "select count(*) from accounts where source = 'file'") == [(0,)]
    assert ask(folder, "close", "--verify") == 0
    with pytest.raises(WrongUsage, match=f"No imported file has the id {account}"):
        ask(folder, "import", "--erase", account, "--yes")


def test_undo_keeps_the_rows_on_record_and_an_erasure_removes_them(known_by_a_file: tuple[Path, str, str], capsys: Any) -> None:
    folder, _, file = known_by_a_file
    assert ask(folder, "import", "--undo", file) == 0
    assert "raw.duckdb" in holding(folder, SECRET)

    assert ask(folder, "import", "--erase", file, "--yes") == 0

    assert "Receipt of erasure" in capsys.readouterr().out
    assert holding(folder, SECRET, NUMBER) == set()


def test_a_file_of_a_connected_account_is_erased_and_the_banks_rows_stay(connected: Path) -> None:
    path = written(connected, camt053(stated([*WORLD[:3], (FIRST, D(1), SECRET), *WORLD[3:]], FIRST, LAST, OPENING)))
    before = booked(connected)
    assert ask(connected, "import", path, "--account", "3000") == 0
    ((file,),) = rows(connected, "select file_id from imported_files")

    assert ask(connected, "import", "--erase", file, "--yes") == 0

    assert booked(connected) == before
    assert holding(connected, SECRET) == set()


def test_what_a_file_changes_in_a_closed_month_is_named_when_it_comes_in_and_when_it_is_taken_back(
    connected: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    assert ask(connected, "close", "--month", "2025-03", "--account", "3000", "--allow-incomplete") == 0
    path = written(connected, camt053(stated(WORLD, FIRST, LAST, OPENING)))
    capsys.readouterr()

    assert ask(connected, "import", path, "--account", "3000") == 0
    assert "kontist:a: 1 transaction of the closed month 2025-03 changed since it was closed" in capsys.readouterr().out
    assert rows(connected, "select sum(amount) from corrections where is_bank and kind = 'transaction'") == [(D("-989.85"),)]
    ((file,),) = rows(connected, "select file_id from imported_files")

    assert ask(connected, "reopen", "--month", "2025-03", "--reason", "files") == 0
    assert ask(connected, "close", "--month", "2025-03", "--account", "3000") == 0
    assert ask(connected, "close", "--month", "2023-12", "--account", "3000") == 0
    assert "has closed months from 2024-01 on: `reopen` that one first" in capsys.readouterr().out
    assert ask(connected, "import", "--undo", file) == 0
    assert "1 transaction of the closed month 2025-03 changed since it was closed" in capsys.readouterr().out
    assert ask(connected, "close", "--verify") == 0


def test_an_account_whose_file_was_taken_back_after_a_closing_is_shown_by_no_file(
    known_by_a_file: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    folder, account, file = known_by_a_file
    assert ask(folder, "close", "--month", "2025-03", "--account", account, "--allow-incomplete") == 0
    assert ask(folder, "import", "--undo", file) == 0
    capsys.readouterr()

    assert ask(folder, "status") == 0
    assert "no file shows it any more" in capsys.readouterr().out
    assert ask(folder, "prove", account, "--from", "2025-03-01", "--to", "2025-03-31") == 3
    assert "an account that is known from files only, import statements" in capsys.readouterr().out


def test_a_closed_month_with_entries_of_a_file_has_to_be_reopened_first(connected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)
    assert ask(connected, "import", written(connected, camt053(stated(WORLD, FIRST, LAST, OPENING))), "--account", "3000") == 0
    ((file,),) = rows(connected, "select file_id from imported_files")
    assert ask(connected, "close", "--month", "2024-01", "--account", "3000", "--allow-incomplete") == 0
    before = (connected / "raw.duckdb").read_bytes()

    with pytest.raises(Failure, match=r"closed month 2024-01 of kontist:a holds entries of these files: nothing was erased"):
        ask(connected, "import", "--erase", file, "--yes")

    assert (connected / "raw.duckdb").read_bytes() == before
    assert ask(connected, "reopen", "--month", "2024-01", "--account", "3000", "--reason", "an erasure") == 0
    assert ask(connected, "import", "--erase", file, "--yes") == 0
    assert booked(connected) == of_the_world()[-4:]


@pytest.mark.parametrize("step", ["build_and_publish", "replace_text"])
def test_an_erasure_that_is_stopped_is_finished_by_the_same_command(
    step: str, known_by_a_file: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, account, file = known_by_a_file
    real, calls = getattr(file_erasure, step), []

    def stops(*given: Any, **more: Any) -> Any:
        calls.append(step)
        if len(calls) == (1 if step == "build_and_publish" else 2):
            raise OSError("the machine stops")
        return real(*given, **more)

    monkeypatch.setattr(file_erasure, step, stops)
    with pytest.raises(OSError, match="the machine stops"):
        ask(folder, "import", "--erase", account, "--yes")
    monkeypatch.setattr(file_erasure, step, real)

    assert ask(folder, "import", "--erase", account, "--yes") == 0

    assert holding(folder, SECRET, NUMBER, account) == set()
    (path,) = (folder / "receipts").glob("*.json")
    receipt = json.loads(path.read_text())
    assert (receipt["files"], receipt["rows_removed"]["file.transactions"]) == ([file], 2)


def test_a_restore_of_an_older_backup_does_not_bring_an_erased_file_back(
    known_by_a_file: tuple[Path, str, str], tmp_path: Path, capsys: Any
) -> None:
    folder, account, file = known_by_a_file
    kept = tmp_path / "kept"
    assert ask(folder, "backup", str(kept)) == 0
    assert "raw.duckdb" in holding(kept, SECRET)
    assert ask(folder, "import", "--erase", account, "--yes") == 0
    capsys.readouterr()

    assert ask(folder, "restore", str(kept), "--yes") == 0

    assert f"the imported file {file} was erased after this backup, and stays erased" in capsys.readouterr().out
    assert holding(folder, SECRET, NUMBER) == set()


def test_nothing_is_erased_without_a_yes_or_under_an_unknown_name(known_by_a_file: tuple[Path, str, str]) -> None:
    folder, _, file = known_by_a_file
    before = (folder / "raw.duckdb").read_bytes()

    for arguments, why in {
        (file,): "Nobody can be asked",
        ("f-0", "--yes"): "No imported file has the id f-0",
        ("kontist:a", "--yes"): "No imported file has the id kontist:a",
        (OTHER_IBAN, "--yes"): "No imported file has the id",
    }.items():
        with pytest.raises(WrongUsage, match=why):
            ask(folder, "import", "--erase", *arguments)

    with pytest.raises(WrongUsage, match="No imported file has the id f-0"):
        file_erasure.erase(Settings(data_dir=folder), [file, "f-0"], None, lambda: datetime.now(UTC))
    assert (folder / "raw.duckdb").read_bytes() == before
