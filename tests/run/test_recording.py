"""Each run is on record, however it ended; one that could not begin is not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import RawBroken, WrongUsage
from pipelines.read.options import Options
from pipelines.run.steps import Run
from pipelines.settings import Settings
from pipelines.store import raw_copy
from pipelines.store.losses import HistoryLost
from pipelines.store.run_history import FILE, read
from sources import _http
from tests.store.test_losses import NOW, left_behind
from transforms.given import Publication, runs
from transforms.run_record import RunRecord


@pytest.fixture(scope="module")
def original(empty_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data directory that a run has left behind."""
    folder = tmp_path_factory.mktemp("original")
    shutil.copy(empty_raw, folder / "raw.duckdb")
    return left_behind(folder)


@pytest.fixture
def settings(original: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(original.data_dir, tmp_path, dirs_exist_ok=True)
    return replace(original, data_dir=tmp_path)


def a_run(settings: Settings, *sources: str) -> Run:
    return Run(settings, Options(sources or ("kontist",)), now=lambda: NOW)


def on_record(settings: Settings) -> RunRecord:
    """The only run that is on record."""
    (found,) = read(settings.data_dir).records
    return found


@pytest.mark.parametrize(
    ("error", "status"),
    [(RawBroken("The disk is full"), "failed"), (ValueError("a bug"), "failed"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_run_that_is_broken_off_is_on_record_with_its_end(settings: Settings, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), a_run(settings):
        raise error

    found = on_record(settings)
    assert (found.status, found.started_at, found.ended_at, found.checks_passed) == (status, NOW, NOW, None)
    assert found.total_seconds is not None


def test_a_run_that_publishes_nothing_is_on_record_as_failed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(_http.Patience):
        def __init__(self, *_: object) -> None:
            super().__init__(())

    monkeypatch.setattr(_http, "Patience", Impatient)
    with a_run(settings) as run:
        run.read_all()
        run.load()

    found = on_record(settings)
    assert (found.run_id, found.status, found.open_accounts) == (run.report.run_id, "failed", None)
    assert found.extract_seconds is not None
    assert found.requests > 0


def test_a_run_that_is_killed_has_no_end_and_the_next_ledger_says_so(settings: Settings) -> None:
    run = a_run(settings)
    run.__enter__()
    run._stack.close()
    found = on_record(settings)

    assert (found.status, found.ended_at) == (None, None)
    (killed,) = runs(Publication(run_id="r-next", runs=[found]), 1)
    assert killed[:4] == (run.report.run_id, NOW, None, "killed")


def test_a_run_whose_raw_history_cannot_be_opened_is_on_record(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RawBroken("Raw history is damaged")

    monkeypatch.setattr(raw_copy, "opened", broken)
    with pytest.raises(RawBroken), a_run(settings):
        pass

    assert on_record(settings).status == "failed"


@pytest.mark.parametrize("wrong", ["a file is lost", "no bank is configured"])
def test_a_run_that_cannot_begin_changes_nothing(settings: Settings, wrong: str) -> None:
    if wrong == "a file is lost":
        (settings.data_dir / "vault.sqlite").unlink()
    else:
        settings = replace(settings, kontist=replace(settings.kontist, email=None, password=None))
    with pytest.raises((HistoryLost, WrongUsage)), a_run(settings):
        pass

    assert not (settings.data_dir / FILE).exists()


def test_what_could_not_be_read_of_the_history_is_in_the_report(settings: Settings) -> None:
    (settings.data_dir / FILE).write_text("no line of ours\n")
    with a_run(settings) as run:
        pass

    assert [note for note in run.report.notes if FILE in note] == [
        f"1 line of {FILE} could not be read: the runs table lacks these runs"
    ]
