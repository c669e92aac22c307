"""What a person reads when there is no ledger to ask, or somebody is in the way."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import FAILED, GOOD, Failure, WrongUsage
from pipelines.questions.frames import frame
from pipelines.store.ledger_reader import unreadable
from tests.questions.asked import ask, data_dir

DAYS = ("--from", "2026-03-01", "--to", "2026-03-01")
HOLDS_IT = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_a_program_that_writes_to_the_ledger_is_named_and_nobody_is_asked_to_rebuild(tmp_path: Path) -> None:
    data_dir(tmp_path, {})
    opener = [sys.executable, "-c", HOLDS_IT, str(tmp_path / "ledger.duckdb")]
    with subprocess.Popen(opener, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "held\n"
        for question in (("prove", "4711", *DAYS), ("status",), ("export", "--format", "csv")):
            with pytest.raises(Failure, match=rf"another program \(PID {program.pid}\) has it open for writing") as caught:
                ask(tmp_path, *question)
            assert caught.value.exit_status == FAILED
            assert "Build it again" not in str(caught.value)


def test_a_file_that_is_no_ledger_is_to_be_built_again(tmp_path: Path) -> None:
    (tmp_path / "ledger.duckdb").write_bytes(b"not a database, but long enough to be looked at" * 100)
    for question in (("prove", "4711", *DAYS), ("status",)):
        with pytest.raises(Failure, match="Build it again"):
            ask(tmp_path, *question)


def test_a_ledger_or_a_folder_that_this_user_may_not_open_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may open everything: the refusals are made up."""
    ledger = tmp_path / "ledger.duckdb"
    refused = unreadable(ledger, duckdb.IOException(f'IO Error: Cannot open file "{ledger}": Permission denied'))
    assert "this user may not" in str(refused)
    assert "transform" not in str(refused)

    def stat(path: Path, **more: Any) -> Any:
        if path.parent == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return os.stat(path, **more)  # noqa: PTH116  # its method is what is replaced

    monkeypatch.setattr(Path, "stat", stat)
    for question in (("query", "from about"), ("prove", "4711", *DAYS), ("status",), ("export", "--format", "csv")):
        with pytest.raises(Failure, match="may not open the data directory"):
            ask(tmp_path, *question)
    with pytest.raises(Failure, match="may not open the data directory"):
        frame("accounts", data_dir=tmp_path)


def test_who_has_only_tried_the_sandbox_is_shown_where_its_ledger_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    data_dir(sandbox, {})

    with pytest.raises(WrongUsage, match="There is no ledger") as caught:
        ask(tmp_path, "prove", "4711", *DAYS)
    assert ask(tmp_path, "status") == GOOD
    for sentence in (str(caught.value), "".join(capsys.readouterr().out.split("\n"))):
        assert f"--data-dir {sandbox}" in sentence.replace("\n", "")


@pytest.mark.parametrize(
    "asked",
    [
        *(("status",), ("check",), ("transform",), ("explain", "t"), ("prove", "4711", *DAYS), ("export", "--format", "csv")),
        *(("consents",), ("consents", "list"), ("consents", "trail"), ("consents", "tend"), ("consents", "revoke", "c-1")),
        *(("consents", "renew", "c-1"), ("consents", "erase", "c-1", "--yes"), ("disconnect", "kontist"), ("pay", "trail")),
    ],
)
def test_a_data_directory_that_is_not_there_is_wrong_usage_and_is_not_made(tmp_path: Path, asked: tuple[str, ...]) -> None:
    with pytest.raises(WrongUsage, match=f"There is no data directory {tmp_path / 'none'}"):
        ask(tmp_path / "none", *asked)
    assert list(tmp_path.iterdir()) == []
