"""What several tests of the ledger's file start from."""

from pathlib import Path

import pytest

from tests.ledger.worlds import RICH, raw_file
from transforms.build import build


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built ledger with its raw history beside it."""
    folder = tmp_path_factory.mktemp("built")
    build(raw_file(folder / "raw.duckdb", RICH), folder / "ledger.duckdb")
    return folder
