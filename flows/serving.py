"""`serve`: Prefect's runner in this process, ended in order.

Prefect's own way out at SIGTERM leaves at once: runs under way are not ended but orphaned, stay `Running` at the server, and most
deployments are not paused. Here a signal stops the looking for due runs, breaks off every run under way (each undoes its
half-done work), tells the server that it was cancelled, pauses the deployments, and then leaves.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from flows.alive import SERVED

STOPPED = "The schedule was stopped; the next run goes on."


def serve(deployments: Sequence[RunnerDeployment], *, limit: int, poll: float) -> None:
    """Deploy all, and run what is due until SIGTERM or Ctrl-C."""
    runner = _Orderly(limit=limit, query_seconds=poll)
    for deployment in deployments:
        runner.add_deployment(deployment)
    print(f"{len(deployments)} deployments, waiting for what is due. `python -m flows status` tells what comes next.", flush=True)
    os.environ[SERVED] = "1"
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    asyncio.run(runner.start())


class _Orderly(Runner):
    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Begin to end."""
        if not self.started or self._loop is None:
            sys.exit(0)
        if not self.stopping:
            print("Stopping: runs under way are broken off ...", flush=True)
            asyncio.run_coroutine_threadsafe(self.astop(), self._loop)

    async def cancel_all(self) -> None:
        """All at once, since each may take half a minute."""
        await asyncio.gather(*(self._broken_off(run_id) for run_id in self._process_manager.flow_run_ids()))

    async def _broken_off(self, run_id: UUID) -> None:
        try:
            await self._cancellation_manager.cancel(await self._client.read_flow_run(run_id), STOPPED)
        except Exception as error:  # a server that is away must not keep a run alive
            print(f"Run {run_id} is ended without Prefect's server ({type(error).__name__})", file=sys.stderr)
            await self._process_manager.kill(run_id)

    async def _pause_schedules(self) -> None:
        try:
            await super()._pause_schedules()  # type: ignore[no-untyped-call]
        except Exception as error:
            print(f"The deployments could not be paused ({type(error).__name__})", file=sys.stderr)
