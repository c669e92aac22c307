"""Marks the flow runs that are at work on this machine. Each holds its own file lock, which the kernel releases with its process.

Prefect's server knows only the last report of a run: a killed run stays `Running` there.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows import artifacts
from flows.guard import guarded, quiet
from flows.secrets import settings_in_force
from pipelines.errors import Failure
from pipelines.settings import Settings
from pipelines.store.lock import locked, prepare, taken
from pipelines.store.private import closed_to_others

JUST_BEGUN = 60.0
"""Seconds: a younger mark may belong to a run that is about to lock it."""
SERVED = "KONTOLEDGER_SERVED"
"""Set for the processes that `serve` starts."""


@contextmanager
def under_way(data_dir: str | None) -> Iterator[Settings]:
    """Opens the context of every flow: guarded, with its settings, and marked as at work."""
    quiet()
    if SERVED in os.environ:  # Ctrl-C reaches both, and `serve` ends its runs in order
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _explained(), guarded(), closed_to_others():
        settings = settings_in_force(data_dir)
        with marked(settings.data_dir, str(flow_run.id)):
            yield settings


@contextmanager
def _explained() -> Iterator[None]:
    """Writes the reason of a failure as an artifact for people."""
    try:
        yield
    except Failure as failure:
        artifacts.why("Why this run failed", str(failure))
        raise


def skipped(reason: str) -> State[Any]:
    """Returns the final state of a run that had nothing to do, or that met another run at work.

    Prefect's pages colour a state by its type: this one is grey, and only `Completed` is green.
    """
    artifacts.why("Why this run was skipped", reason)
    get_run_logger().warning("Skipped: %s", reason)
    return Cancelled(name="Skipped", message=reason)


@contextmanager
def marked(data_dir: Path, run_id: str) -> Iterator[None]:
    """Holds the lock of this run.

    Raises `Abort` when another process is at work on the same run, because Prefect may hand out a run twice. The duplicate exits
    silently: any state it reports would overwrite the first one's.
    """
    prepare(data_dir)
    path = _file(data_dir, run_id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        lock = taken(path, patience=1)  # `tidy` may just be looking
    except Timeout:
        raise Abort(f"Another process is at run {run_id}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def is_gone(data_dir: Path, run_id: str) -> bool:
    """Returns whether this run was at work here and its process has ended. A run that was never here may be alive elsewhere."""
    path = _file(data_dir, run_id)
    if not path.exists():
        return False
    try:
        with locked(path, patience=0):
            path.unlink(missing_ok=True)
            return True
    except Timeout:
        return False


def sweep(data_dir: Path) -> int:
    """Removes the marks of killed runs and returns how many. The server may know nothing of such a run any more."""
    swept = 0
    for path in (data_dir / "flow-runs").glob("*.lock"):
        try:
            if time.time() - path.stat().st_mtime > JUST_BEGUN:
                swept += is_gone(data_dir, path.stem)
        except OSError:  # another process has just removed it, or it is another user's
            continue
    return swept


def _file(data_dir: Path, run_id: str) -> Path:
    return data_dir / "flow-runs" / f"{run_id}.lock"
