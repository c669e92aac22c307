"""What tests of a fleet start from: one vault for all tests of a file, emptied for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.consents.database import Database
from pipelines.consents.tables import attempts, cells, consent_accounts, consents, customers
from pipelines.fleet.cells import fleet_of, make_cells
from pipelines.fleet.lake_catalog import Lake
from pipelines.settings import Settings
from tests.consents.postgres import empty_database
from tests.fleet.scene import CELLS, fleet_settings
from tests.fleet.stores import Folder, Store

if TYPE_CHECKING:
    from tests.fleet.s3_server import S3Server


@pytest.fixture(scope="module")
def vault_url(postgresql: str) -> str:
    """The address of a database that this file's tests share."""
    return empty_database(postgresql)


@pytest.fixture
def settings(vault_url: str, tmp_path: Path) -> Settings:
    """A fleet of four empty cells."""
    found = fleet_settings(vault_url, tmp_path)
    with fleet_of(found) as database:
        for table in (attempts, consent_accounts, consents, customers, cells):
            database.write(table.delete())
    assert make_cells(found) == CELLS
    return found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The fleet's vault."""
    with fleet_of(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def s3() -> "Iterator[S3Server]":
    """An S3 server for the tests of a file. This process is a user who may do everything there."""
    from tests.fleet.s3_server import serving

    with serving() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: a folder, and a bucket that keeps versions."""
    if request.param == "folder":
        return Folder(tmp_path / "store")
    bucket: Store = request.getfixturevalue("s3").bucket(versioned=True)
    return bucket


@pytest.fixture
def lake(postgresql: str, tmp_path: Path) -> Lake:
    """A lake that nobody has made yet."""
    return Lake(empty_database(postgresql), str(tmp_path / "lake"))
