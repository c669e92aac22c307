"""Finds and removes raw histories in the store that no cell names.

A process that was killed between upload and swap leaves one, and so may one that lost its lease. It may hold rows that another
process has erased meanwhile. The next run of the cell removes it, but a cell whose customers are gone has no next run.
"""

from pipelines.consents.database import Database
from pipelines.fleet.cells import CellStatus, cell_statuses
from pipelines.fleet.leases import Leases
from pipelines.fleet.raw_store import RawStore


def unnamed(cell: CellStatus, objects: list[str]) -> list[str]:
    """Returns those of a cell's objects that it does not name; none while somebody works on it, whose upload one may be."""
    return [] if cell.holder else [one for one in objects if one not in (cell.object, cell.object_before)]


def remove_unnamed(database: Database, store: RawStore) -> list[str]:
    """Removes them, each cell under its lease; returns the names of these cells. One that is at work is left to its run."""
    leases = Leases(database)
    done = []
    for cell in cell_statuses(database):
        if not unnamed(cell, store.names(cell.cell)):
            continue
        lease = leases.claim(cell.cell)
        if lease is None:
            continue
        try:
            for name in store.names(cell.cell):
                if name not in (lease.object, lease.object_before):
                    store.discard(name)
            done.append(cell.cell)
        finally:
            leases.end(lease)
    return done
