"""Works on one cell: under its lease, with the newest raw history, which is stored again before anything counts as imported."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sql

from pipelines.consents.database import VaultBroken
from pipelines.consents.tables import cells
from pipelines.errors import Failure
from pipelines.fleet.cells import fleet_of
from pipelines.fleet.leases import LEASE, Lease, LeaseLost, Leases, Placed, beating
from pipelines.fleet.raw_store import RawStore, StoreBroken
from pipelines.store import unfinished
from pipelines.store.atomic_files import replace_text
from pipelines.store.ledger import forget_record

if TYPE_CHECKING:
    from pipelines.settings import Settings

VERSION_FILE = "cell.json"
"""The version of the raw history that a cell's folder was last fetched or stored at."""


@contextmanager
def at_work(settings: "Settings", cell: str, *, fetching: bool = True) -> Iterator["CellKeeper"]:
    """Holds the lease of the settings' cell while the block runs. The caller holds the lock of its folder.

    The lease is the one that `fleet run` has claimed for this process, else a new one. Raises `Busy` when another process has the
    cell, `LeaseLost` when the claimed one is lost, `StoreBroken` when the newest raw history cannot be fetched.
    Without `fetching` the one that is here stays, whatever its version.
    """
    with ExitStack() as stack:
        database = stack.enter_context(fleet_of(settings))
        leases = Leases(database)
        token = os.environ.get(LEASE)
        lease = leases.adopted(cell, token) if token else leases.taken(cell)
        if not token:
            stack.callback(_given_back, leases, lease)
        stack.enter_context(beating(leases, lease))
        keeper = CellKeeper(settings.data_dir, leases, lease, RawStore(settings.fleet.store) if settings.fleet.store else None)
        if fetching:
            keeper.fetch()
        yield keeper


def _given_back(leases: Leases, lease: Lease) -> None:
    with suppress(VaultBroken):  # then it ends by itself
        leases.end(lease)


@dataclass
class CellKeeper:
    """The raw history of a cell, between this machine's folder and the store."""

    data_dir: Path
    leases: Leases
    lease: Lease
    store: RawStore | None

    def fetch(self) -> None:
        """Puts the newest raw history into the folder, where another machine has stored one since."""
        if self.store is None or self.lease.object is None or version_here(self.data_dir) == self.lease.version:
            return
        self.store.fetch(self.lease.object, self.lease.digest, self.data_dir / "raw.duckdb")
        (self.data_dir / "raw.previous.duckdb").unlink(missing_ok=True)
        unfinished.forget_all(self.data_dir)  # read for another history
        forget_record(self.data_dir)
        self._note_version()

    def keep(self, *, erasing: bool = False) -> None:
        """Stores the folder's raw history, and has the vault name it as the cell's newest.

        `erasing`: it lacks rows that are erased, so every older object is removed, with its versions. Else the one before stays.
        Raises `LeaseLost` when another process has taken the cell meanwhile: what is stored here counts for nothing then.
        """
        if self.store is None:
            self.lease = self.leases.swap(self.lease, erasing=erasing)
            return
        # Only what is there before the swap may be removed after it: later objects may be of the next holder.
        listed = self.store.stored(self.lease.cell, for_good=erasing)
        if version_here(self.data_dir) != self.lease.version:
            (self.data_dir / "raw.previous.duckdb").unlink(missing_ok=True)  # a copy that may hold what was erased since
        name, digest = self.store.put(self.data_dir / "raw.duckdb", self.lease.cell, self.lease.version + 1)
        try:
            self.lease = self.leases.swap(self.lease, Placed(name, digest), erasing=erasing)
        except LeaseLost:
            with suppress(StoreBroken):  # `fleet maintain` does it then
                self.store.discard(name)  # it may hold rows that the next holder has erased
            raise
        self._note_version()
        for one in listed:
            if one.name not in (self.lease.object, self.lease.object_before):
                self.store.remove(one)

    def _note_version(self) -> None:
        replace_text(self.data_dir / VERSION_FILE, json.dumps({"cell": self.lease.cell, "version": self.lease.version}) + "\n")


def refuse_older(settings: "Settings") -> None:
    """Raises `Failure` in a cell of which another machine has stored a newer raw history than is here."""
    here = version_here(settings.data_dir)
    if settings.cell is None or here is None:
        return
    with fleet_of(settings) as database:
        rows = database.read(sql.select(cells.c.version).where(cells.c.cell == settings.cell))
    newest = max((row.version or 0 for row in rows), default=0)
    if newest > here:
        raise Failure(
            f"{settings.cell} has an older raw history here (version {here}) than another machine has stored (version {newest})",
            "Ask there. The next `fleet run` or `close` here fetches the newest one",
        )


def version_here(data_dir: Path) -> int | None:
    """Returns the version of the raw history in a cell's folder; None where there is none, or nobody knows.

    That of another cell, whose folder was copied or renamed, is none: it would be stored as this cell's.
    """
    if not (data_dir / "raw.duckdb").exists():
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads((data_dir / VERSION_FILE).read_text(encoding="utf-8"))
        return int(noted["version"]) if noted["cell"] == data_dir.name else None
    return None
