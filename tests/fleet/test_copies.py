"""Copies on a machine that are older than an erasure on another one: whatever stops their removal, it is finished or named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.consents.database import Database
from pipelines.consents.tables import cells
from pipelines.fleet.cell_keeper import VERSION_FILE, CellKeeper
from pipelines.fleet.copies import COPIES, remove_erased
from pipelines.fleet.leases import Leases
from pipelines.fleet.raw_store import RawStore
from pipelines.settings import Settings


@pytest.fixture
def here(settings: Settings, database: Database, tmp_path: Path) -> Settings:
    """A machine with copies of all four cells at version 2. Somebody was erased at version 3, except in the last cell."""
    for number in range(4):
        folder = settings.fleet.folder / f"cell-{number:04d}"
        folder.mkdir(parents=True)
        for name in COPIES:
            (folder / name).write_text("rows")
        (folder / VERSION_FILE).write_text(json.dumps({"cell": folder.name, "version": 2}))
    database.write(cells.update().values(version=3, object="newest"))
    database.write(cells.update().where(cells.c.cell < "cell-0003").values(erased_version=3))
    return replace(settings, fleet=replace(settings.fleet, store=f"file://{tmp_path / 'store'}"))


def copies(settings: Settings) -> list[int]:
    """Returns how many copies each cell has."""
    return [sum((settings.fleet.folder / f"cell-{number:04d}" / name).exists() for name in COPIES) for number in range(4)]


def test_copies_whose_removal_was_killed_or_whose_version_nobody_knows_are_removed(here: Settings, database: Database) -> None:
    (here.fleet.folder / "cell-0000" / "raw.duckdb").unlink()  # what a killed removal has done first
    (here.fleet.folder / "cell-0001" / VERSION_FILE).write_text("half-writ")
    (here.fleet.folder / "cell-0002" / VERSION_FILE).unlink()

    done = remove_erased(here, database)

    assert (done.cells, done.troubles) == (["cell-0000", "cell-0001", "cell-0002"], [])
    assert copies(here) == [0, 0, 0, len(COPIES)]
    assert remove_erased(here, database).cells == []


def test_copies_that_cannot_be_removed_are_named_and_stop_no_other(here: Settings, database: Database) -> None:
    stuck = here.fleet.folder / "cell-0001" / "ledger.duckdb"
    stuck.unlink()
    stuck.mkdir()

    done = remove_erased(here, database)

    assert done.cells == ["cell-0000", "cell-0002"]
    (trouble,) = done.troubles
    assert f"cannot be removed in {stuck.parent}: Is a directory. Remove that folder." in trouble
    stuck.rmdir()
    assert remove_erased(here, database).cells == ["cell-0001"]
    assert copies(here) == [0, 0, 0, len(COPIES)]


def test_a_folder_that_was_copied_from_another_cell_is_fetched_anew_and_never_stored_as_this_ones(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    leases, store = Leases(database), RawStore(f"file://{tmp_path / 'store'}")
    folders = [settings.fleet.folder / name for name in ("cell-0000", "cell-0001")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "raw.duckdb").write_text(f"customers of {folder.name}")
        keeper = CellKeeper(folder, leases, leases.taken(folder.name), store)
        keeper.keep()
        leases.end(keeper.lease)
    shutil.rmtree(folders[1])
    shutil.copytree(*folders)

    CellKeeper(folders[1], leases, leases.taken("cell-0001"), store).fetch()

    assert (folders[1] / "raw.duckdb").read_text() == "customers of cell-0001"
