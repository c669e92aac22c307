"""A signal while dlt loads."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.stop import Stop
from pipelines.store.load import Changeset, load
from pipelines.store.raw_copy import opened

pytestmark = pytest.mark.usefixtures("by_dlt")


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Listens to the signals while the test runs."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = Stop()
    heard.listen()
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_at_the_end_of_a_step_of_dlts_is_not_lost(stop: Stop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlt.load.load import Load

    run = Load.run

    def last(self: Load, pool: Any) -> Any:
        metrics = run(self, pool)
        if metrics.pending_items == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return metrics

    monkeypatch.setattr(Load, "run", last)
    with pytest.raises(KeyboardInterrupt), opened(tmp_path) as (history, _):
        load(history, Changeset("kontist"))
    assert stop.asked
