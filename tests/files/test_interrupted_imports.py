"""An import that is killed at any step, or finds no room: raw history is as before or as after, and the next try ends it."""

import errno
import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.errors import Failure
from pipelines.run import file_import
from pipelines.store import raw_copy
from tests.consents.killing import Killer
from tests.files.bank_files import IBAN, Stated, camt053
from tests.ledger.worlds import raw_file
from tests.questions.asked import ask
from tests.support import begun, ended, rows

DAY = date(2024, 1, 2)
STATED = Stated(date(2024, 1, 1), date(2024, 1, 31), Decimal(0), [(DAY, Decimal(1), "a"), (DAY, Decimal(1), "b")])
ENTRIES = "select count(*) from file.transactions where _dlt_valid_to is null"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "before").mkdir()
    raw_file(
        tmp_path / "before" / "raw.duckdb",
        {"kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "valid_from": datetime(2025, 1, 1, tzinfo=UTC)}]},
    )
    (tmp_path / "file.xml").write_text(camt053(STATED))
    return tmp_path


def entries(data_dir: Path) -> int:
    ((found,),) = rows(data_dir, ENTRIES, of="raw")
    return int(found)


def test_an_import_that_is_killed_before_any_step_is_done_or_not_and_the_next_one_ends_it(folder: Path) -> None:
    seen, step = set(), 0
    while True:
        step += 1
        data_dir = folder / f"killed-{step}"
        shutil.copytree(folder / "before", data_dir)
        environ = {"PIPELINES__DATA_DIR": str(data_dir), "PIPELINES__REPORT": "false"}
        victim = Killer().run(environ, "import", str(folder / "file.xml"), before=step)
        seen.add(entries(data_dir))
        if not victim.killed:
            break
        assert Killer().run(environ, "import", str(folder / "file.xml")).status == 0
        assert entries(data_dir) == 2

    assert victim.status == 0, victim.err
    assert seen == {0, 2}


def test_an_erasure_that_is_killed_before_any_step_is_finished_by_the_same_command(folder: Path) -> None:
    before = {"PIPELINES__DATA_DIR": str(folder / "before"), "PIPELINES__REPORT": "false"}
    assert Killer().run(before, "import", str(folder / "file.xml")).status == 0
    ((file,),) = rows(folder / "before", "select file_id from file.files", of="raw")
    left, step = set(), 0
    while True:
        step += 1
        data_dir = folder / f"erased-{step}"
        shutil.copytree(folder / "before", data_dir)
        environ = before | {"PIPELINES__DATA_DIR": str(data_dir)}
        victim = Killer().run(environ, "import", "--erase", file, "--yes", before=step)
        left.add(entries(data_dir))
        if not victim.killed:
            break
        again = Killer().run(environ, "import", "--erase", file, "--yes")
        assert again.status == 0, (victim.steps, again.err)
        assert entries(data_dir) == 0
        (receipt,) = (data_dir / "receipts").glob("*.json")
        assert json.loads(receipt.read_text())["rows_removed"]["file.transactions"] == 2

    assert victim.status == 0, victim.err
    assert (left, step > 5) == ({0, 2}, True), step


def test_two_processes_that_import_one_file_at_once_store_it_once(folder: Path) -> None:
    environ = {"PIPELINES__DATA_DIR": str(folder / "before"), "PIPELINES__REPORT": "false"}

    both = [begun(folder, environ, "import", str(folder / "file.xml"), "--wait", "120") for _ in range(2)]
    first, second = sorted((ended(one) for one in both), key=lambda one: one.out)

    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert first.out.startswith("Imported file.xml as f-")
    assert "file.xml was imported before: nothing was changed." in second.out
    assert entries(folder / "before") == 2
    assert rows(folder / "before", "select count(*) from file.files", of="raw") == [(1,)]


def test_a_full_disk_leaves_raw_history_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(raw_copy, "publish", full)
    before = (folder / "before" / "raw.duckdb").read_bytes()

    with pytest.raises(Failure, match=r"could not be written .*No space left"):
        ask(folder / "before", "import", str(folder / "file.xml"))

    assert (folder / "before" / "raw.duckdb").read_bytes() == before
    assert not list((folder / "before").glob("raw.new*"))


@pytest.mark.parametrize("command", ["import", "undo"])
def test_a_command_that_was_stopped_before_its_ledger_is_finished_by_the_same_one(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, path = folder / "before", str(folder / "file.xml")
    counted = "select count(*) from transactions"
    if command == "undo":
        assert ask(data_dir, "import", path) == 0
        ((file,),) = rows(data_dir, "select file_id from imported_files")
    arguments = ("import", path) if command == "import" else ("import", "--undo", file)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(file_import, "build_and_publish", _stopped)
        ask(data_dir, *arguments)

    assert ask(data_dir, *arguments) == 0
    assert rows(data_dir, counted) == ([(2,)] if command == "import" else [(0,)])
    published = (data_dir / "ledger.duckdb").stat().st_mtime_ns
    assert ask(data_dir, *arguments) == 0
    assert (data_dir / "ledger.duckdb").stat().st_mtime_ns == published


def _stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
