"""Removes this machine's copies of cells that another machine has erased somebody from."""

from contextlib import suppress
from pathlib import Path

from pipelines.consents.database import Database
from pipelines.errors import Busy
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
"""What holds rows of customers and is made again from the store."""


def remove_erased(settings: Settings, database: Database) -> list[str]:
    """Removes the copies that are older than the last erasure of their cell; returns these cells.

    A cell that is at work here is left: its run has the newest history.
    """
    if not settings.fleet.store:
        return []
    done = []
    for one in cell_statuses(database):
        folder = settings.fleet.folder / one.cell
        here = version_here(folder)
        if one.erased_version is None or here is None or here >= one.erased_version:
            continue
        with suppress(Busy), held(folder, "fleet run"):
            _remove(folder)
            done.append(one.cell)
    return done


def _remove(folder: Path) -> None:
    unfinished.forget_all(folder)
    dlt_folder.remove(folder)
    leftovers.remove_exports(folder)
    for name in COPIES:
        (folder / name).unlink(missing_ok=True)
