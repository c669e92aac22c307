"""Publishes the ledgers of this machine's cells: into the lake, and as Parquet files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.fleet.cell_keeper import version_here
from pipelines.fleet.cells import CellStatus, cell_statuses
from pipelines.store.ledger import RECORD
from pipelines.store.ledger_reader import LedgerUnreadable

if TYPE_CHECKING:
    from pipelines.consents.database import Database
    from pipelines.fleet.lake import LakeSession
    from pipelines.settings import Settings


@dataclass
class PublishedCells:
    """What was done with each cell of the fleet.

    `elsewhere`: its newest raw history is on another machine, or its ledger here is not built from it yet. `erased`: something of
    it was erased, and nothing of that is left in the lake's snapshots and files. `troubles` has a sentence for each ledger that
    cannot be read.
    """

    published: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@contextmanager
def lake_of(settings: "Settings") -> Iterator["LakeSession"]:
    """Opens the fleet's lake. Raises `WrongUsage` where the settings describe none."""
    from pipelines.fleet.lake import opened
    from pipelines.fleet.lake_catalog import Lake

    fleet = settings.fleet
    if not fleet.lake or not fleet.lake_data:
        missing = "fleet.lake_data" if fleet.lake else "fleet.lake"
        raise WrongUsage(
            f"There is no lake: the setting {missing} is empty", "Set fleet.lake and fleet.lake_data (docs/fleet.md)"
        )
    with opened(Lake(fleet.lake, fleet.lake_data, fleet.lake_encrypted), settings.memory_limit) as session:
        yield session


def publish_fleet(settings: "Settings", database: "Database") -> PublishedCells:
    """Publishes each ledger of this machine that the lake lacks, then removes what was erased from older snapshots and files."""
    done = PublishedCells()
    to_purge: dict[str, int] = {}
    with lake_of(settings) as session:
        statuses = cell_statuses(database)
        session.register([one.cell for one in statuses])
        marks = session.marks()
        for one in statuses:
            ledger = newest_ledger(settings, one)
            if ledger is None:
                if one.version:
                    done.elsewhere.append(one.cell)
                continue
            try:
                result = session.publish(one.cell, ledger, one.version)
            except LedgerUnreadable as failure:
                done.troubles.append(f"{one.cell}: {failure}")
                continue
            {"published": done.published, "unchanged": done.unchanged, "outdated": done.elsewhere}[result].append(one.cell)
            if result != "outdated" and (one.erased_version or 0) > marks[one.cell].purged_version:
                to_purge[one.cell] = one.version
        if to_purge:
            session.purge(to_purge)
            done.erased += to_purge
    return done


def check_lake(settings: "Settings", statuses: list[CellStatus]) -> list[str]:
    """Returns a sentence for each cell whose rows in the lake differ from its mark, or from the ledger that was published."""
    ledgers = {one.cell: ledger for one in statuses if (ledger := newest_ledger(settings, one)) is not None}
    with lake_of(settings) as session:
        return session.check(ledgers)


def newest_ledger(settings: "Settings", cell: CellStatus) -> Path | None:
    """Returns a cell's ledger in this machine's folder if it is built from the cell's newest raw history.

    A run that fetches raw history from the store removes the ledger's record first: until its own ledger is built, the one here
    is of an older history, and may hold what another machine has erased.
    """
    folder = settings.fleet.folder / cell.cell
    ledger = folder / "ledger.duckdb"
    is_newest = cell.object is None or version_here(folder) == cell.version
    return ledger if is_newest and ledger.exists() and (folder / RECORD).exists() else None
