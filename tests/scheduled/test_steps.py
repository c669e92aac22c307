"""What single steps of the flows promise, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from flows import places


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
