"""Holds vault, store, lake and this machine's ledgers of a fleet against each other."""

from dataclasses import dataclass, field

from pipelines.consents.database import Database
from pipelines.errors import Failure
from pipelines.fleet.cell_keeper import version_here
from pipelines.fleet.cells import cell_statuses, misplaced
from pipelines.fleet.lake_catalog import LakeBroken
from pipelines.fleet.publication import check_lake
from pipelines.fleet.raw_store import RawStore
from pipelines.fleet.unnamed import unnamed
from pipelines.settings import Settings


@dataclass
class FleetCheck:
    """What `fleet check` looked at, with a sentence for each finding."""

    cells: int = 0
    objects: int = 0
    ledgers: int = 0
    findings: list[str] = field(default_factory=list)


def check_fleet(settings: Settings, database: Database) -> FleetCheck:
    """Checks that each consent is in its customer's cell, that the store has each object that is named and no other, that each
    ledger here is right, and that the lake, where there is one, holds what was published.

    A ledger is checked against the raw history beside it, where this is the cell's newest.
    """
    statuses = cell_statuses(database)
    done = FleetCheck(cells=len(statuses), findings=misplaced(database))
    store = RawStore(settings.fleet.store) if settings.fleet.store else None
    for one in statuses:
        folder = settings.fleet.folder / one.cell
        if store is not None:
            objects = store.names(one.cell)
            done.objects += one.object is not None
            if one.object is not None and one.object not in objects:
                done.findings.append(f"{one.cell}: its raw history {one.object} is not in the store")
            if left := unnamed(one, objects):
                done.findings.append(
                    f"{one.cell}: {len(left)} objects in the store are of no run that counts, and `fleet maintain` removes them"
                )
        is_newest = one.object is None or version_here(folder) == one.version
        if is_newest and (folder / "ledger.duckdb").exists():
            done.ledgers += 1
            done.findings += _failed(settings, one.cell)
    if settings.fleet.lake:
        try:
            done.findings += check_lake(settings, statuses)
        except LakeBroken as failure:  # what was found so far counts all the same
            done.findings.append(f"the lake could not be compared: {failure}")
    return done


def _failed(settings: Settings, cell: str) -> list[str]:
    from pipelines.store.ledger import check_again

    try:
        results = check_again(settings.fleet.folder / cell, memory=settings.memory_limit)
    except Failure as failure:
        return [f"{cell}: {failure}"]
    return [f"{cell}: check {one.name} fails in {one.failed_rows} rows: {one.meaning}" for one in results if not one.passed]
