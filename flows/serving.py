"""`serve`: Prefect's runner in this process, ended in order, and with a watch of its own over cancellations.

Prefect itself ends at once at SIGTERM: runs under way are not ended but orphaned, stay `Running` at the server, and most
deployments are not paused. Here a signal stops the looking for due runs, breaks off every run under way (each undoes its
half-done work), reports to the server that it was cancelled, pauses the deployments, and then leaves.

Prefect's own watch over cancellations ends for good when the server is away for three polls, and when its connection is closed
without an error. Ours goes on.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.settings import get_current_settings

from flows.run_lock import SERVED
from pipelines.commands.terminal import say
from pipelines.errors import Failure
from pipelines.store.lock import held

STOPPED = "The schedule was stopped; the next run goes on."


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Lets one `serve` run for a data directory, and one for each PREFECT_HOME. Raises `Busy`, which names the other.

    Two that serve the same deployments pause each other's when they end.
    """
    with ExitStack() as both:
        for folder in dict.fromkeys((data_dir.resolve(), get_current_settings().home.resolve())):
            both.enter_context(held(folder, "flows serve", name="serve"))
        yield


def serve(deployments: Sequence[RunnerDeployment], *, limit: int, poll: float) -> None:
    """Deploys all, and runs what is due until SIGTERM or Ctrl-C."""
    with _private_folder():
        runner = _Orderly(limit=limit, query_seconds=poll)
        for deployment in deployments:
            runner.add_deployment(deployment)
        say(f"{len(deployments)} deployments, waiting for what is due. `python -m flows status` shows what comes next.")
        os.environ[SERVED] = "1"
        signal.signal(signal.SIGINT, runner.handle_sigterm)
        asyncio.run(runner.serve(poll))


@contextmanager
def _private_folder() -> Iterator[None]:
    """Gives the runner a temporary folder of its own.

    Prefect's `runner_storage` in the shared one belongs to the user who started first, and stops every other user's start.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="kontoledger-serve-")
    except OSError as error:
        raise Failure(
            f"No temporary folder can be made ({os.strerror(error.errno or 0)})",
            "Make room there, or set TMPDIR to a folder that this user can write",
        ) from None
    with folder as path:
        before, tempfile.tempdir = tempfile.tempdir, path
        try:
            yield
        finally:
            tempfile.tempdir = before


class _Orderly(Runner):
    async def serve(self, poll: float) -> None:
        """Runs what is due, and watches for runs that somebody cancels."""
        watch = asyncio.create_task(self._watch(poll))
        try:
            await self.start()
        finally:
            watch.cancel()

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Begins to end."""
        if not self.started or self._loop is None:
            sys.exit(0)
        if not self.stopping:
            say("Stopping: current runs are interrupted ...")
            asyncio.run_coroutine_threadsafe(self.astop(), self._loop)

    async def cancel_all(self) -> None:
        """Cancels all runs at once, since each may take half a minute."""
        await asyncio.gather(*(self._broken_off(run_id) for run_id in self._process_manager.flow_run_ids()))

    async def _watch(self, poll: float) -> None:
        away: datetime | None = None
        while True:
            await asyncio.sleep(poll)
            try:
                await self._end_cancelled()
            except Exception as error:
                if away is None:
                    away = datetime.now().astimezone()
                    say(f"Prefect's server does not answer ({type(error).__name__}); still waiting for it", error=True)
            else:
                if away is not None:
                    say(f"Prefect's server answers again; it was away since {away:%H:%M:%S}", error=True)
                away = None

    async def _end_cancelled(self) -> None:
        under_way = list(self._process_manager.flow_run_ids()) if self.started else []
        if not under_way:
            return
        chosen = FlowRunFilter(
            id=FlowRunFilterId(any_=under_way),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING])),
        )
        found = await self._client.read_flow_runs(flow_run_filter=chosen)
        await asyncio.gather(*(self._cancel_run(run) for run in found))  # once a run, however many ask

    async def _broken_off(self, run_id: UUID) -> None:
        try:
            await self._cancellation_manager.cancel(await self._client.read_flow_run(run_id), STOPPED)
        except Exception as error:  # a server that is away must not keep a run alive
            say(f"Run {run_id} was ended without Prefect's server ({type(error).__name__})", error=True)
            await self._process_manager.kill(run_id)

    async def _pause_schedules(self) -> None:
        try:
            await super()._pause_schedules()  # type: ignore[no-untyped-call]
        except Exception as error:
            say(f"The deployments could not be paused ({type(error).__name__})", error=True)
