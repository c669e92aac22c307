"""The flows' own functions in this process, at any given time: what Prefect adds is tested on a real server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Task
from prefect.client.schemas.objects import State
from prefect.logging import disable_run_logger
from prefect.states import Completed, Failed
from prefect.utilities.annotations import BaseAnnotation

from flows import consents, ingest, run_lock
from pipelines.errors import Failure
from pipelines.read.options import Progress
from pipelines.run.steps import Run
from pipelines.settings import Settings


class Step:
    """A task that is simply called."""

    def __init__(self, task: Task[..., Any]) -> None:
        self._work = task.fn

    def __call__(self, *given: Any, return_state: bool = False) -> Any:
        return self._work(*map(_plain, given))

    def submit(self, *given: Any) -> Any:
        try:
            came = self(*given)
        except Failure as failure:
            return SimpleNamespace(state=Failed(message=str(failure)), wait=_nothing)
        state = came if isinstance(came, State) else Completed(data=came)
        return SimpleNamespace(state=state, wait=_nothing, result=_nothing)

    def map(self, units: list[str], given: Any) -> list[Any]:
        return [self.submit(unit, given) for unit in units]


class _Unseen(Progress):
    def reached(self, *_: Any) -> None:
        """Nobody looks."""


@contextmanager
def in_process(settings: Settings, now: Callable[[], datetime], record: Callable[..., None]) -> Iterator[None]:
    """Inside the block a flow's function does what it does, at the time that `now` says; `record` receives its report."""

    @contextmanager
    def under_way(_data_dir: str | None) -> Iterator[Settings]:
        yield settings

    unseen = SimpleNamespace(Shown=lambda _: _Unseen(), **dict.fromkeys(("named", "table", "markdown", "link", "why"), _nothing))
    with pytest.MonkeyPatch.context() as patched, disable_run_logger():
        for module in (ingest, consents):
            for name, task in list(vars(module).items()):
                if isinstance(task, Task):
                    patched.setattr(module, name, Step(task))
            patched.setattr(module, "under_way", under_way)
            patched.setattr(module, "send_notices", record)
        for module in (ingest, consents, run_lock):
            patched.setattr(module, "artifacts", unseen)
        patched.setattr(ingest, "account_rows", _nothing)
        patched.setattr(ingest, "wait", _nothing)
        patched.setattr(ingest, "place", nullcontext)
        patched.setattr(ingest, "Run", partial(Run, now=now))
        patched.setattr(consents, "utc_now", now)
        yield


def _plain(given: Any) -> Any:
    while isinstance(given, BaseAnnotation):
        given = given.unwrap()
    return given


def _nothing(*_: Any) -> None:
    """Done already."""
