"""Removes this machine's copies of cells that another machine has erased somebody from."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.consents.database import Database
from pipelines.errors import Busy, Failure
from pipelines.fleet.cell_keeper import VERSION_FILE, version_here
from pipelines.fleet.cells import cell_statuses
from pipelines.settings import Settings
from pipelines.store import dlt_folder, leftovers, unfinished
from pipelines.store.lock import held
from pipelines.store.private import HISTORY

COPIES = (
    "raw.duckdb",
    "raw.previous.duckdb",
    "ledger.duckdb",
    "ledger.build.json",
    "report.html",
    "run.last.json",
    HISTORY,
    VERSION_FILE,
)
"""What holds rows of customers and is made again from the store. The version is removed last."""


@dataclass
class RemovedCopies:
    """The cells whose copies were removed here, and a sentence for each whose copies could not be."""

    cells: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def remove_erased(settings: Settings, database: Database) -> RemovedCopies:
    """Removes the copies that are older than the last erasure of their cell, or of which nobody knows how old they are.

    A cell that is at work here is left: its run has the newest history. One that fails stops no other.
    """
    done = RemovedCopies()
    if not settings.fleet.store:
        return done
    for one in cell_statuses(database):
        folder = settings.fleet.folder / one.cell
        if (version_here(folder) or 0) >= (one.erased_version or 0) or not any((folder / name).exists() for name in COPIES):
            continue
        try:
            with held(folder, "fleet run"):
                _remove(folder)
            done.cells.append(one.cell)
        except Busy:
            pass
        except (Failure, OSError) as error:
            why = str(error) if isinstance(error, Failure) else f"{os.strerror(error.errno or 0)}. Remove that folder."
            done.troubles.append(f"Copies with rows that another machine has erased cannot be removed in {folder}: {why}")
    return done


def _remove(folder: Path) -> None:
    """Removes the copies, last the version: until then whoever comes after a killed process goes on."""
    unfinished.forget_all(folder)
    dlt_folder.remove(folder)
    leftovers.remove_exports(folder)
    for name in COPIES:
        (folder / name).unlink(missing_ok=True)
