"""What single steps of the flows promise, without a server."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect import Task
from prefect.client.schemas.objects import State, StateType
from prefect.logging import disable_run_logger
from prefect.runner import Runner
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    temporary_settings,
)
from prefect.states import Completed, Failed, Pending

from flows import concurrency, consents, ingest, operations, run_lock, serving
from flows.guard import guarded
from flows.secrets import secret_blocks
from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, Busy, Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store.lock import held

ONCE = (ingest.read_consent, ingest.load, consents.sign_in)
TRIED_AGAIN = (ingest.read_login, ingest.ledger)
TRIED_AGAIN += (consents.watch, consents.end, consents.finish_erasing, consents.fetch_catalog, consents.keep_catalog)


def test_what_spends_an_import_starts_a_sign_in_or_would_publish_a_half_is_done_once_and_the_rest_again() -> None:
    assert [step.name for step in ONCE if step.retries] == []
    assert [step.name for step in TRIED_AGAIN if not step.retries] == []
    tasks = {one for module in (ingest, consents) for one in vars(module).values() if isinstance(one, Task)}
    assert tasks == {*ONCE, *TRIED_AGAIN}


def test_pauses_between_tries_grow() -> None:
    for step in TRIED_AGAIN:
        assert isinstance(step.retry_delay_seconds, list), step.name
        assert step.retry_delay_seconds == sorted(set(step.retry_delay_seconds)), step.name


@pytest.mark.parametrize(
    ("trouble", "again"),
    [
        (OSError(28, "No space left on device"), True),
        (Failure("The bank is away"), True),
        (Busy("Another run holds the data directory"), False),
        (WrongUsage("There is no such consent"), False),
    ],
)
def test_what_a_person_has_to_correct_is_not_tried_again(trouble: Exception, again: bool) -> None:
    state: State[Any] = Failed(data=trouble)

    for step in (consents.watch, consents.end, consents.finish_erasing, consents.fetch_catalog, consents.keep_catalog):
        assert step.retry_condition_fn is not None
        assert step.retry_condition_fn(step, None, state) is again, step.name


@contextmanager
def no_place(**_: Any) -> Iterator[None]:
    """All are taken for good."""
    raise TimeoutError
    yield


@contextmanager
def no_server(**_: Any) -> Iterator[None]:
    """Prefect's server went away in the middle of a run."""
    raise ConnectionError
    yield


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a wait in vain moves by a quarter of a minute."""
    passed = [0.0]

    def monotonic() -> float:
        passed[0] += concurrency.AT_A_TIME
        return passed[0]

    monkeypatch.setattr(concurrency, "monotonic", monotonic)
    monkeypatch.setattr(concurrency, "_patience", concurrency._Patience())
    return passed


def test_a_count_that_is_full_for_good_costs_a_minute_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, patience: list[float]
) -> None:
    monkeypatch.setattr(concurrency, "concurrency", lambda *_, **asked: no_place(**asked))
    read = []

    with disable_run_logger():
        for consent in range(9):
            with concurrency.place():
                read.append(consent)

    assert read == list(range(9))
    assert patience[0] <= 60 + 15 * 10, "one minute in all, not one a consent"


def test_a_server_that_went_away_does_not_stop_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "concurrency", lambda *_, **asked: no_server(**asked))
    read = []

    with disable_run_logger(), concurrency.place():
        read.append("all")

    assert read == ["all"]


def test_a_server_that_is_away_is_not_called_a_fault_of_this_program() -> None:
    away = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_CLIENT_MAX_RETRIES: 0})

    with away, pytest.raises(Failure, match="Prefect's server did not answer") as result, guarded():
        secret_blocks()

    assert "report" not in str(result.value)


def test_any_other_trouble_is_reported_by_kind_and_line_only() -> None:
    with pytest.raises(Failure, match=r"A fault in this program \(ValueError at test_steps.py") as result, guarded():
        raise ValueError("DE89370400440532013000")

    assert "DE89" not in str(result.value)


@contextmanager
def begun(_data_dir: str | None) -> Iterator[Settings]:
    """In place of `under_way`: there is no run."""
    yield Settings(data_dir=Path("nowhere"))


def test_one_consent_that_cannot_be_renewed_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, result, why = [], [], []

    def sign_in(_: Any, consent_id: str, *, return_state: bool) -> State[Any]:
        asked.append(consent_id)
        return Failed(message="There is no consent c-bad") if consent_id == "c-bad" else Completed()

    monkeypatch.setattr(consents, "under_way", begun)
    monkeypatch.setattr(consents, "watch", lambda _: [])
    monkeypatch.setattr(consents, "sign_in", sign_in)
    monkeypatch.setattr(consents, "send_notices", result.append)
    monkeypatch.setattr(consents.artifacts, "why", lambda _, reason: why.append(reason))
    with disable_run_logger():
        end = consents.consent_renewals.fn(["c-bad", "c-600d"])

    assert (asked, len(result), why) == (["c-bad", "c-600d"], 1, ["- There is no consent c-bad"])
    assert end.is_failed()


def test_an_erasure_that_is_not_confirmed_is_refused_before_anything_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(consents, "under_way", begun)
    monkeypatch.setattr(consents.upkeep, "to_end", ended.append)
    with disable_run_logger(), pytest.raises(WrongUsage, match="not confirmed; nothing was recorded"):
        consents.consent_revocation.fn("c-600d", erase=True)
    assert ended == []


def test_a_failed_run_shows_why(monkeypatch: pytest.MonkeyPatch) -> None:
    why = []
    monkeypatch.setattr(run_lock.artifacts, "why", lambda _, reason: why.append(reason))
    monkeypatch.setattr(run_lock, "settings_in_force", lambda _: Settings(data_dir=Path("what?")))

    with pytest.raises(WrongUsage), run_lock.under_way(None):
        pass

    assert why == ["The data directory what? has a ? in its path, which DuckDB cannot open. Choose another path."]


class OfManyRuns:
    """A server with more late runs than it gives in one answer."""

    def __init__(self, runs: list[Any]) -> None:
        self.runs = runs
        self.cancelled: list[int] = []

    def read_deployments(self, **_: Any) -> list[Any]:
        return [SimpleNamespace(name="ingest", id=uuid4(), paused=False)]

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int, offset: int, **_: Any) -> list[Any]:
        names = flow_run_filter.state.name
        late = self.runs if names is not None and names.any_ == ["Late"] else []
        return late[offset : offset + min(limit, 200)]

    def set_flow_run_state(self, run_id: int, *_: Any, **__: Any) -> None:
        self.cancelled.append(run_id)

    def read_global_concurrency_limit_by_name(self, _: str) -> Any:
        return SimpleNamespace(active_slots=0)


def late_run(number: int, *, asked_for: bool = False, **parameters: Any) -> Any:
    """A run of the schedule, or one that a person asked for."""
    return SimpleNamespace(id=number, name=f"run {number}", auto_scheduled=not asked_for, parameters=parameters)


def test_of_any_number_of_late_runs_the_newest_stays(tmp_path: Path) -> None:
    client = OfManyRuns([late_run(number) for number in range(401)])

    result = operations.tidy(cast(Any, client), tmp_path)

    assert client.cancelled == list(range(1, 401))
    assert result == ["ingest/ingest: 400 late runs dropped, the newest stays"]


def test_a_late_run_that_a_person_requested_is_never_dropped(tmp_path: Path) -> None:
    erasure = late_run(1, asked_for=True, consent_id="c-1", erase=True)
    client = OfManyRuns([late_run(0), erasure, late_run(2), late_run(3, asked_for=True), late_run(4, asked_for=True)])

    operations.tidy(cast(Any, client), tmp_path)

    assert client.cancelled == [2]


def test_a_late_run_with_other_parameters_is_not_taken_for_the_same(tmp_path: Path) -> None:
    client = OfManyRuns([late_run(0, reserve=1, due_hours=5), late_run(1, reserve=2), late_run(2, due_hours=5, reserve=1)])

    operations.tidy(cast(Any, client), tmp_path)

    assert client.cancelled == [2]


def test_only_a_complete_run_is_green_in_prefects_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of its UIs colour a state by its type: COMPLETED is green, FAILED red, CANCELLED grey."""
    monkeypatch.setattr(run_lock.artifacts, "why", lambda *_: None)
    ends = {}
    for status in (GOOD, PARTIAL, CHECKS_FAILED, FAILED):
        report = SimpleNamespace(exit_status=status, banks=[], outcomes=[], refused=None)
        ends[status] = ingest._ended(cast(Any, report))
    with disable_run_logger():
        skip = run_lock.skipped("another run is at work")

    green = [status for status, end in ends.items() if end.type == StateType.COMPLETED]
    assert (green, ends[PARTIAL].name, ends[PARTIAL].type) == ([GOOD], "Partial", StateType.FAILED)
    assert (skip.name, skip.type) == ("Skipped", StateType.CANCELLED)


class Standstill(Exception):
    """The watch has gone on for long enough."""


def test_serve_learns_of_cancellations_after_any_outage_of_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prefect's own watch gives up for good after three polls in vain."""
    run, ended, answers = SimpleNamespace(id=uuid4()), [], iter([*[ConnectionError()] * 20, [], None])

    class Server:
        async def read_flow_runs(self, *, flow_run_filter: Any) -> list[Any]:
            assert flow_run_filter.id.any_ == [run.id]
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return [run] if answer is None else answer

    async def cancel(one: Any) -> None:
        ended.append(one)

    async def no_pause(_: float) -> None:
        if ended:
            raise Standstill

    runner = serving._Orderly.__new__(serving._Orderly)
    runner.started = True
    processes = SimpleNamespace(flow_run_ids=lambda: {run.id})
    for name, value in {"_process_manager": processes, "_client": Server(), "_cancel_run": cancel}.items():
        monkeypatch.setattr(runner, name, value, raising=False)
    monkeypatch.setattr(serving.asyncio, "sleep", no_pause)
    with pytest.raises(Standstill):
        asyncio.run(runner._watch(10))

    assert ended == [run]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Prefect's server does not answer (ConnectionError); still waiting for it"
    assert [line.partition(";")[0] for line in said[1:]] == ["Prefect's server answers again"]


def test_a_second_serve_ends_and_names_the_first(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}), serving.alone(tmp_path / "data"):
        with (
            pytest.raises(Busy, match=rf"^Process {os.getpid()} \(flows serve, since .*\) holds .*data"),
            serving.alone(tmp_path / "data"),
        ):
            pass
        with pytest.raises(Busy, match=r"holds .*home"), serving.alone(tmp_path / "other data, the same deployments"):
            pass
        with held(tmp_path / "data", "a run"):
            pass


def test_no_folder_in_the_shared_temporary_directory_stops_another_users_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "runner_storage").write_text("another user's: nothing can be made in here")

    with serving._private_folder():
        own = Runner()._tmp_dir
        own.mkdir(parents=True)
        assert own.parents[1].stat().st_mode & 0o077 == 0

    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "runner_storage"]


def test_a_temporary_directory_that_cannot_be_written_is_named_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    named = r"No temporary folder can be made \(No such file or directory\)\. .*set TMPDIR"
    with pytest.raises(Failure, match=named), serving._private_folder():
        pass


def test_a_dead_run_that_a_person_requested_is_named_to_be_started_again(tmp_path: Path) -> None:
    """The next scheduled run does not do what this one was asked for."""
    began = datetime.now(UTC) - 2 * operations.BEGINS_WITHIN
    runs = [late_run(0), late_run(1, asked_for=True, consent_id="c-1")]
    for run in runs:
        run.state = Pending().model_copy(update={"timestamp": began})
    ends: list[str] = []

    class Server(OfManyRuns):
        def read_flow_runs(self, *, flow_run_filter: Any, **_: Any) -> list[Any]:
            return runs if flow_run_filter.state.type is not None else []

        def set_flow_run_state(self, _: int, state: Any = None, **__: Any) -> None:
            ends.append(f"{state.name}: {state.message}")

    result = operations.tidy(cast(Any, Server([])), tmp_path)

    assert ends == [
        "Crashed: its process is gone; the next run goes on",
        "Crashed: its process is gone; start it again: a person requested it",
    ]
    assert result == [
        "ingest/ingest: run run 0 is marked as crashed, its process is gone",
        "ingest/ingest: run run 1 is marked as crashed, its process is gone. A person requested it: start it again",
    ]


def test_marks_of_killed_runs_are_removed_and_no_living_ones(tmp_path: Path) -> None:
    """Also of a run that the server has dropped, or never heard of."""
    marks = tmp_path / "flow-runs"
    with run_lock.marked(tmp_path, "alive"):
        for name, age in {"killed": 3600, "alive": 3600, "about-to-lock": 0}.items():
            (marks / f"{name}.lock").touch()
            os.utime(marks / f"{name}.lock", (time.time() - age,) * 2)

        result = operations.tidy(cast(Any, OfManyRuns([])), tmp_path)

        assert {path.stem for path in marks.iterdir()} == {"alive", "about-to-lock"}
    assert result == ["1 mark of killed runs removed"]


def test_one_late_run_is_reported_as_one() -> None:
    (result,) = operations.troubles([operations.Standing("ingest", deployed=True, late=1)])

    assert result.startswith("ingest has 1 late run: ")
