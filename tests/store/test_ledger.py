"""What a run does with the ledger of the run before: it keeps tables of it, or builds the whole of it where in doubt."""

import shutil
from pathlib import Path

import duckdb
import pytest

from pipelines.store.ledger import RECORD, build_and_publish
from tests.ledger.worlds import MODELS, RICH, raw_file
from tests.support import rows


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    raw_file(folder / "raw.duckdb", RICH)
    build_and_publish(folder)
    return folder


@pytest.fixture
def data_dir(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "data"))


def made_by_a_run(data_dir: Path, *, keep_unchanged: bool = True) -> list[str]:
    made: list[str] = []
    build_and_publish(data_dir, lambda table, *_: made.append(table), keep_unchanged=keep_unchanged)
    return made


def test_a_run_keeps_what_did_not_change_and_a_person_who_asks_gets_a_whole_build(data_dir: Path) -> None:
    assert made_by_a_run(data_dir) == ["ledger.about"]
    assert len(made_by_a_run(data_dir, keep_unchanged=False)) == len(MODELS)


def test_a_run_on_record_is_in_the_next_ledger_and_a_damaged_line_is_named(data_dir: Path) -> None:
    record = '{"run_id":"r-9","started_at":"2026-03-01T06:00:00Z","ended_at":"2026-03-01T06:00:09Z","status":"failed"}'
    (data_dir / "runs.jsonl").write_text(f"{record}\nno line of ours\n")
    published = build_and_publish(data_dir, keep_unchanged=True)

    assert [notice for notice in published.notices if "runs.jsonl" in notice] == [
        "1 line of runs.jsonl could not be read: the runs table lacks these runs"
    ]
    assert rows(data_dir, "select status, accounts, total_seconds from runs where run_id = 'r-9'") == [("failed", 0, None)]
    assert made_by_a_run(data_dir) == ["ledger.about"]


def test_without_a_record_the_whole_ledger_is_built_once(data_dir: Path) -> None:
    (data_dir / RECORD).unlink()

    assert len(made_by_a_run(data_dir)) == len(MODELS)
    assert made_by_a_run(data_dir) == ["ledger.about"]


def test_a_copy_that_does_not_pass_its_checks_is_not_published(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with duckdb.connect(data_dir / "raw.duckdb") as connection:
        connection.execute("insert into kontist.imports select * replace ('i-9' as import_id) from kontist.imports limit 1")
    asked = iter([["select 1"], ["select 1"], [], []])  # a build lists the checks, then asks them
    monkeypatch.setattr("transforms.checks.singular", lambda: [("one", "Wrong.", sql) for sql in next(asked)])
    made = made_by_a_run(data_dir)

    assert made[-len(MODELS) :] == [model.table for model in MODELS]
    assert len(made) > len(MODELS)


def test_a_build_that_is_broken_off_leaves_the_ledger_as_it_was(data_dir: Path) -> None:
    with duckdb.connect(data_dir / "raw.duckdb") as connection:
        connection.execute("insert into kontist.imports select * replace ('i-9' as import_id) from kontist.imports limit 1")
    before = (data_dir / "ledger.duckdb").read_bytes()

    def broken_off(table: str, number: int, total: int) -> None:
        if table.startswith("ledger."):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_and_publish(data_dir, broken_off, keep_unchanged=True)

    assert (data_dir / "ledger.duckdb").read_bytes() == before
    assert sorted(path.name for path in data_dir.iterdir()) == sorted(["ledger.duckdb", RECORD, "raw.duckdb"])
