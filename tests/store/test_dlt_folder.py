"""What dlt's own tools see of a run's load: docs/dlt.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest

from pipelines.errors import Failure
from pipelines.read.options import Options
from pipelines.store import dlt_folder, load, raw_copy
from tests.support import ROOT, FirstRuns, a_bank, read, rows


@pytest.fixture(scope="module")
def folder(first_runs: FirstRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    first_runs.copy(folder / "data")
    return folder


def test_the_documents_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "dlt.md").read_text(encoding="utf-8"), re.DOTALL)

    exec(compile(example, "dlt.md", "exec"), {})  # noqa: S102  # our own text

    ((versions,),) = rows(folder / "data", "select count(*) from kontist.transactions", of="raw")
    assert capsys.readouterr().out.splitlines()[-1] == str(versions)


@pytest.mark.parametrize(("question", "answer"), [("info", "Resources in schema: kontomatik"), ("trace", "LOADED")])
def test_dlts_command_shows_the_last_load(folder: Path, question: str, answer: str) -> None:
    command = [
        Path(sys.executable).with_name("dlt"),
        "pipeline",
        "--pipelines-dir",
        "data/dlt/kontomatik",
        "kontoledger",
        question,
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert answer in ended.stdout


def test_the_folder_holds_no_row_and_is_its_owners_alone(folder: Path) -> None:
    kept = list((folder / "data" / "dlt").rglob("*"))

    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
    assert [path for path in kept if path.suffix in (".parquet", ".gz", ".sql", ".jsonl")] == []


def test_a_disk_that_refuses_the_folder_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "work" / "dlt" / "kontist").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dlt").touch()

    dlt_folder.keep(tmp_path / "work", tmp_path / "data")

    assert (tmp_path / "data" / "dlt").is_file()


def test_an_erasure_removes_the_folder(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data" / "dlt", tmp_path / "dlt")

    dlt_folder.remove(tmp_path)

    assert not (tmp_path / "dlt").exists()


def test_an_erasure_fails_rather_than_leave_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dlt" / "kontist").mkdir(parents=True)
    with monkeypatch.context() as refused, pytest.raises(Failure, match="names accounts"):
        refused.setattr("os.rmdir", Mock(side_effect=PermissionError(13, "Permission denied")))
        dlt_folder.remove(tmp_path)

    (tmp_path / "dlt").rename(tmp_path / "elsewhere")
    (tmp_path / "dlt").symlink_to(tmp_path / "elsewhere")
    dlt_folder.remove(tmp_path)
    assert not (tmp_path / "dlt").is_symlink()


def test_cursors_that_an_earlier_version_left_are_taken_over(first_runs: FirstRuns, tmp_path: Path, by_dlt: None) -> None:
    """Its pipeline had the bank's name."""
    world = first_runs.copy(tmp_path, sources=("kontist",))
    with duckdb.connect(tmp_path / "raw.duckdb") as connection:
        connection.execute("update kontist._dlt_pipeline_state set pipeline_name = 'kontist'")
    with raw_copy.opened(tmp_path) as (history, _):
        assert len(load.cursors(history, "kontist")["accounts"]) == 2
    world.append("4711", amount="-1.00")
    with a_bank(world) as bank:
        for new in (1, 0):
            report = read(bank, tmp_path, Options(("kontist",)), ledger=False)
            assert [one.counts.new for one in report.outcomes] == [new, 0]
    names = "select distinct pipeline_name from kontist._dlt_pipeline_state"
    assert set(rows(tmp_path, names, of="raw")) == {("kontist",), ("kontoledger",)}
