"""Runs the cells of a fleet that are due: each in a process of its own, a given number at once. Other machines may do so, too."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from pipelines.consents.database import Database
from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, Failure, WrongUsage
from pipelines.fleet.cells import cell_statuses, due_cells, fleet_of, refuse_without_cells
from pipelines.fleet.copies import remove_erased
from pipelines.fleet.leases import LEASE, Lease, Leases
from pipelines.settings import Settings
from pipelines.settings.memory import free_bytes, share_of
from pipelines.store.banks import KONTOMATIK

ROOT = Path(__file__).parents[2]
LONGEST_TROUBLE = 500


class Process(Protocol):
    """A process under way, as `subprocess.Popen` is one."""

    @property
    def returncode(self) -> int | None:
        """Returns its exit status, once it has ended."""

    def communicate(self) -> tuple[str, str]:
        """Waits for its end; returns what it wrote on both streams."""

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, unless it has ended."""


Start = Callable[[Sequence[str], Mapping[str, str]], Process]
"""Starts `python -m pipelines` with these arguments, and these variables besides this process's own."""


def new_process(arguments: Sequence[str], variables: Mapping[str, str]) -> Process:
    """Starts it in a new interpreter. Ctrl-C at the terminal reaches only the parent, which ends its children itself."""
    path = os.pathsep.join(one for one in (str(ROOT), os.environ.get("PYTHONPATH")) if one)
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "pipelines", *arguments],
        env=os.environ | {"PYTHONPATH": path} | dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class NotStarted(Failure):
    """The system starts no other process."""


@dataclass(frozen=True)
class CellRun:
    """The run of a cell. `trouble` is its last sentence on standard error, where it did not end well."""

    cell: str
    status: int
    trouble: str | None = None


@dataclass
class FleetReport:
    """What a `fleet run` did. `due` counts the cells that were due at its beginning; others may have run some of them.

    `waiting` counts cells that would be due, but whose last runs failed.
    """

    due: int = 0
    waiting: int = 0
    runs: list[CellRun] = field(default_factory=list)
    trouble: str | None = None
    """Why it could not begin with all of them."""
    copies_left: list[str] = field(default_factory=list)
    """A sentence for each cell with copies here that another machine has erased somebody from, and that cannot be removed."""

    @property
    def exit_status(self) -> int:
        """Returns 0 when each run was good; else 1 when one failed, else 3 when a check did, else 4."""
        ended = {run.status for run in self.runs}
        if self.trouble or self.copies_left or ended - {GOOD, CHECKS_FAILED, PARTIAL}:
            return FAILED
        return CHECKS_FAILED if CHECKS_FAILED in ended else PARTIAL if PARTIAL in ended else GOOD


class Workers:
    """Runs due cells, the most urgent first, `at_most` at once."""

    def __init__(
        self, settings: Settings, after: timedelta, at_most: int, start: Start = new_process, named: Sequence[str] = ()
    ) -> None:
        """Sets up the workers; nothing is opened yet. `after` is how old the last import of an account may be.

        `named` are the only cells to run, then, whether they are due or wait after a failed run or not.
        """
        self._settings = settings
        self._after = after
        self._at_most = max(1, at_most)
        self._start = start
        self._named = named
        self._guard = threading.Lock()
        self._stopping = False
        self._under_way: dict[str, Process] = {}
        self._waiting: list[str] = []
        self.report = FleetReport()

    def run(self, now: Callable[[], datetime]) -> FleetReport:
        """Runs the cells that are due now. A run that fails stops no other.

        An interrupt ends the processes cleanly, and waits for them; what they had published stays.
        """
        with fleet_of(self._settings) as database:
            refuse_without_cells(database)
            leases = Leases(database)
            begun = leases.now()
            self._waiting = self._chosen(database, now())
            self.report.due = len(self._waiting)
            self.report.copies_left = remove_erased(self._settings, database).troubles
            with ThreadPoolExecutor(self._at_most) as pool:
                try:
                    _ended([pool.submit(self._work, leases, begun) for _ in range(self._at_most)])
                finally:
                    self._stop()
        self.report.runs.sort(key=lambda run: run.cell)
        return self.report

    def _chosen(self, database: Database, now: datetime) -> list[str]:
        """Returns the cells to run, the most urgent first. Raises `WrongUsage` for a name that no cell has."""
        if not self._named:
            due = due_cells(database, self._after, now)
            self.report.waiting = len(due.waiting)
            return due.ready
        known = {one.cell for one in cell_statuses(database)}
        for name in self._named:
            if name not in known:
                raise WrongUsage(f"There is no cell {name!r}", "See `python -m pipelines fleet status --json`")
        return list(dict.fromkeys(self._named))

    def _work(self, leases: Leases, begun: datetime) -> None:
        """Runs one cell after the other until none is left."""
        try:
            while (lease := self._next(leases, begun)) is not None:
                try:
                    run = self._run(lease)
                except NotStarted:
                    leases.end(lease)
                    raise
                if run is None:
                    leases.end(lease)
                    return
                self.report.runs.append(run)
                leases.end(lease, run.status, run.trouble)
        except Failure as failure:  # the database is away, or this machine is full: nobody begins anything now
            with self._guard:
                self._stopping = True
                self.report.trouble = str(failure)

    def _next(self, leases: Leases, begun: datetime) -> Lease | None:
        """Claims the most urgent cell that no other process has or had since the beginning."""
        while True:
            with self._guard:
                if self._stopping or not self._waiting:
                    return None
                cell = self._waiting.pop(0)
            if (lease := leases.claim(cell, not_ended_since=begun)) is not None:
                return lease

    def _run(self, lease: Lease) -> CellRun | None:
        """Runs a cell in a process of its own, to its end; None when the command was stopped before it began.

        Raises `NotStarted`.
        """
        hours = self._after.total_seconds() / 3600
        folder = str(self._settings.fleet.folder / lease.cell)
        due = ("--source", KONTOMATIK.name, "--due-hours", f"{hours:g}")
        variables = {LEASE: lease.token}
        if not self._settings.memory_mb:
            variables["PIPELINES__MEMORY_MB"] = str(max(256, share_of(free_bytes()) // self._at_most))
        with self._guard:
            if self._stopping:
                return None
            try:
                process = self._start(("run", "--data-dir", folder, *due, "--quiet"), variables)
            except OSError as error:
                raise NotStarted(
                    f"The process of {lease.cell} could not be started ({os.strerror(error.errno or 0)})",
                    "Give this user more processes and memory, or lower --at-most, then run again",
                ) from None
            self._under_way[lease.cell] = process
        _, errors = process.communicate()
        with self._guard:
            del self._under_way[lease.cell]
        status = FAILED if process.returncode is None else process.returncode
        last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
        if status < 0:
            last = f"Its process was killed by signal {-status}."
        return CellRun(lease.cell, status, last[:LONGEST_TROUBLE] or None if status != GOOD else None)

    def _stop(self) -> None:
        """Has nobody begin anything, and ends the processes under way as Ctrl-C would."""
        with self._guard:
            self._stopping = True
            for process in self._under_way.values():
                with suppress(OSError):
                    process.send_signal(signal.SIGINT)


def _ended(futures: "Sequence[Future[None]]") -> None:
    """Waits for all of them; raises what one has raised."""
    for one in futures:
        one.result()
