"""What single steps of the flows promise, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect import Task
from prefect.client.schemas.objects import State
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Failed

from flows import alive, consents, operating, places, reading
from flows.guard import guarded
from flows.secrets import secret_blocks
from pipelines.errors import Busy, Failure, WrongUsage
from pipelines.settings import Settings

ONCE = (reading.read_consent, reading.load, consents.sign_in)
TRIED_AGAIN = (reading.read_kontist, reading.ledger)
TRIED_AGAIN += (consents.watch, consents.end, consents.finish_erasing, consents.fetch_catalog, consents.keep_catalog)


def test_what_spends_an_import_starts_a_sign_in_or_would_publish_a_half_is_done_once_and_the_rest_again() -> None:
    assert [step.name for step in ONCE if step.retries] == []
    assert [step.name for step in TRIED_AGAIN if not step.retries] == []
    tasks = {one for module in (reading, consents) for one in vars(module).values() if isinstance(one, Task)}
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
def test_what_a_person_has_to_mend_is_not_tried_again(trouble: Exception, again: bool) -> None:
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
        passed[0] += places.AT_A_TIME
        return passed[0]

    monkeypatch.setattr(places, "monotonic", monotonic)
    monkeypatch.setattr(places, "_patience", places._Patience())
    return passed


def test_a_count_that_is_full_for_good_costs_a_minute_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, patience: list[float]
) -> None:
    monkeypatch.setattr(places, "concurrency", lambda *_, **asked: no_place(**asked))
    read = []

    with disable_run_logger():
        for consent in range(9):
            with places.place():
                read.append(consent)

    assert read == list(range(9))
    assert patience[0] <= 60 + 15 * 10, "one minute in all, not one a consent"


def test_a_server_that_went_away_does_not_stop_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "concurrency", lambda *_, **asked: no_server(**asked))
    read = []

    with disable_run_logger(), places.place():
        read.append("all")

    assert read == ["all"]


def test_a_server_that_is_away_is_not_called_a_fault_of_this_program() -> None:
    away = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_CLIENT_MAX_RETRIES: 0})

    with away, pytest.raises(Failure, match="Prefect's server did not answer") as told, guarded():
        secret_blocks()

    assert "report" not in str(told.value)


def test_any_other_trouble_is_told_by_kind_and_line_only() -> None:
    with pytest.raises(Failure, match=r"A fault in this program \(ValueError at test_steps.py") as told, guarded():
        raise ValueError("DE89370400440532013000")

    assert "DE89" not in str(told.value)


@contextmanager
def begun(_data_dir: str | None) -> Iterator[Settings]:
    """In place of `under_way`: there is no run."""
    yield Settings(data_dir=Path("nowhere"))


def test_one_consent_that_cannot_be_renewed_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, told, why = [], [], []

    def sign_in(_: Any, consent_id: str, *, return_state: bool) -> State[Any]:
        asked.append(consent_id)
        return Failed(message="There is no consent c-bad") if consent_id == "c-bad" else Completed()

    monkeypatch.setattr(consents, "under_way", begun)
    monkeypatch.setattr(consents, "watch", lambda _: [])
    monkeypatch.setattr(consents, "sign_in", sign_in)
    monkeypatch.setattr(consents, "told", told.append)
    monkeypatch.setattr(consents.artifacts, "why", lambda _, reason: why.append(reason))
    with disable_run_logger():
        end = consents.consent_renewals.fn(["c-bad", "c-600d"])

    assert (asked, len(told), why) == (["c-bad", "c-600d"], 1, ["- There is no consent c-bad"])
    assert end.is_failed()


def test_an_erasure_that_is_not_confirmed_is_refused_before_anything_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(consents, "under_way", begun)
    monkeypatch.setattr(consents.chores, "to_end", ended.append)
    with disable_run_logger(), pytest.raises(WrongUsage, match="not confirmed; nothing was recorded"):
        consents.consent_revocation.fn("c-600d", erase=True)
    assert ended == []


def test_a_failed_run_shows_why(monkeypatch: pytest.MonkeyPatch) -> None:
    why = []
    monkeypatch.setattr(alive.artifacts, "why", lambda _, reason: why.append(reason))
    monkeypatch.setattr(alive, "settings_in_force", lambda _: Settings(data_dir=Path("what?")))

    with pytest.raises(WrongUsage), alive.under_way(None):
        pass

    assert why == ["The data directory what? has a ? in its path, which DuckDB cannot open. Choose another path."]


class OfManyRuns:
    """A server with more late runs than it gives in one answer."""

    def __init__(self, count: int) -> None:
        self.runs = [SimpleNamespace(id=number, name=f"run {number}") for number in range(count)]
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


def test_of_any_number_of_late_runs_the_newest_stays(tmp_path: Path) -> None:
    client = OfManyRuns(401)

    told = operating.tidy(cast(Any, client), tmp_path)

    assert client.cancelled == list(range(1, 401))
    assert told == ["ingest/ingest: 400 late runs dropped, the newest stays"]


def test_one_late_run_is_told_of_as_one() -> None:
    (told,) = operating.troubles([operating.Standing("ingest", deployed=True, late=1)])

    assert told.startswith("ingest has 1 late run: ")
