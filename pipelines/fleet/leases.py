"""Leases cells: one process at a time works on a cell, on whichever machine.

A lease is a row of the vault's table `cells` with a token that nobody else knows. Its holder gives a sign of life every `BEAT`
seconds. After `PATIENCE` seconds without one another process may take the cell. What the first one does then is refused, because
each change of the row names the token and the version that it was begun with. All times are the database server's.
"""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sql

from pipelines.consents.database import Database, VaultBroken
from pipelines.consents.tables import cells
from pipelines.consents.user import user
from pipelines.errors import GOOD, INTERRUPTED, Busy, Failure

PATIENCE = timedelta(seconds=90)
"""After so long without a sign of life another process may take a cell."""
BEAT = 15.0
"""Seconds between two signs of life."""
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=2)
"""How long a cell waits after its first failed run, and after many in a row."""
MOST_DOUBLINGS = 10
"""More would leave the range of an interval; the longest wait is reached before."""
LEASE = "KONTOLEDGER_LEASE"
"""The environment variable by which `fleet run` hands a lease to the process that it starts."""


class LeaseLost(Failure):
    """Another process has taken the cell, because this one gave no sign of life for too long."""

    def __init__(self, cell: str) -> None:
        super().__init__(
            f"The lease of {cell} is lost: another process has taken it, and nothing that was read here is kept",
            "Nothing is lost: the next run of the cell reads it again or resumes it",
        )


@dataclass(frozen=True)
class Lease:
    """A cell that this process may work on. `version`, `object` and `digest` are those of its raw history at the beginning."""

    cell: str
    token: str
    version: int
    object: str | None
    digest: str | None
    object_before: str | None


class Leases:
    """The leases in a vault's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> datetime:
        """Returns the server's time."""
        with self._database.reading() as connection:
            found: datetime = connection.execute(sql.select(sql.func.clock_timestamp())).scalar_one()
            return found

    def claim(self, cell: str, *, not_ended_since: datetime | None = None) -> Lease | None:
        """Takes a cell that nobody holds; None where somebody does, or where a run of it has ended since that time."""
        token = secrets.token_hex(8)
        free = cells.c.lease.is_(None) | (cells.c.beat_at < sql.func.clock_timestamp() - PATIENCE)
        if not_ended_since is not None:
            free &= cells.c.ended_at.is_(None) | (cells.c.ended_at < not_ended_since)
        return self._changed(
            cells.update()
            .where(cells.c.cell == cell, free)
            .values(lease=token, holder=f"{user()}@{socket.gethostname()}", beat_at=sql.func.clock_timestamp())
        )

    def adopted(self, cell: str, token: str) -> Lease:
        """Returns the lease that another process has claimed for this one. Raises `LeaseLost` when it is somebody else's."""
        lease = self._changed(_held(cell, token).values(beat_at=sql.func.clock_timestamp()))
        if lease is None:
            raise LeaseLost(cell)
        return lease

    def taken(self, cell: str) -> Lease:
        """Takes a cell. Raises `Busy` with its holder when somebody has it."""
        lease = self.claim(cell)
        if lease is not None:
            return lease
        with self._database.reading() as connection:
            holder = connection.execute(sql.select(cells.c.holder).where(cells.c.cell == cell)).scalar()
        if holder is None:
            raise Failure(f"There is no cell {cell}", "Run `python -m pipelines fleet init`")
        raise Busy(
            f"{holder} holds {cell}",
            f"Wait until its run has ended. A process that was killed loses the cell {PATIENCE.total_seconds():.0f} seconds after"
            " its last sign of life",
        )

    def beat(self, lease: Lease) -> bool:
        """Gives a sign of life; returns whether the lease still holds."""
        return self._changed(_held(lease.cell, lease.token).values(beat_at=sql.func.clock_timestamp())) is not None

    def swap(self, lease: Lease, placed: "Placed | None" = None, *, erasing: bool = False) -> Lease:
        """Records the next version of the cell's raw history; returns the lease with it.

        `erasing`: older versions hold rows that are erased, and must not be found again in the store or in the lake.
        Raises `LeaseLost` when another process has taken the cell, or has recorded a version since the lease began.
        """
        values: dict[str, Any] = {"version": lease.version + 1}
        if placed is not None:
            values |= {"object": placed.object, "digest": placed.digest, "object_before": None if erasing else lease.object}
        if erasing:
            values["erased_version"] = lease.version + 1
        swapped = self._changed(_held(lease.cell, lease.token).where(cells.c.version == lease.version).values(**values))
        if swapped is None:
            raise LeaseLost(lease.cell)
        return swapped

    def end(self, lease: Lease, status: int | None = None, trouble: str | None = None) -> None:
        """Gives a cell back, with the exit status of its run; without a status as it was. A lost lease changes nothing.

        After each run that has failed the cell waits twice as long as after the one before. A run that was interrupted or killed
        says nothing of its cell.
        """
        values: dict[str, Any] = {"lease": None, "holder": None, "beat_at": None}
        if status is not None:
            values |= {"status": status, "trouble": trouble, "ended_at": sql.func.clock_timestamp()}
        if status == GOOD:
            values |= {"failures": None, "retry_at": None}
        elif status is not None and 0 < status != INTERRUPTED:
            values |= _after_a_failure()
        self._changed(_held(lease.cell, lease.token).values(**values))

    def _changed(self, change: sql.Update) -> Lease | None:
        columns = (cells.c.cell, cells.c.lease, cells.c.version, cells.c.object, cells.c.digest, cells.c.object_before)
        with self._database.transaction() as connection:
            row = connection.execute(change.returning(*columns)).first()
        if row is None:
            return None
        return Lease(row.cell, row.lease or "", row.version or 0, row.object, row.digest, row.object_before)


@dataclass(frozen=True)
class Placed:
    """An object of the store that holds a raw history, and its SHA-256."""

    object: str
    digest: str


def _after_a_failure() -> dict[str, Any]:
    before = sql.func.coalesce(cells.c.failures, 0)
    wait = sql.cast(FIRST_WAIT, sql.Interval) * sql.func.power(2, sql.func.least(before, MOST_DOUBLINGS))
    return {"failures": before + 1, "retry_at": sql.func.clock_timestamp() + sql.func.least(wait, LONGEST_WAIT)}


def _held(cell: str, token: str) -> sql.Update:
    return cells.update().where(cells.c.cell == cell, cells.c.lease == token)


@contextmanager
def beating(leases: Leases, lease: Lease, every: float = BEAT) -> Iterator[None]:
    """Gives signs of life while the block runs. A server that is away is asked again; a lost lease is noticed at the swap."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every):
            with suppress(VaultBroken):
                if not leases.beat(lease):
                    return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
