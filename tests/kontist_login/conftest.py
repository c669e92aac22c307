"""What the tests of logins start from."""

from pathlib import Path

import pytest

from pipelines.store.load import Changeset, load
from pipelines.store.raw_copy import opened
from tests.kontist_login import logins


@pytest.fixture(scope="session", autouse=True)
def empty_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw history with both banks' tables and nothing in them."""
    folder = tmp_path_factory.mktemp("empty")
    with opened(folder) as (history, publish):
        for dataset in ("kontist", "kontomatik"):
            load(history, Changeset(dataset))
        publish()
    logins.EMPTY[:] = [folder / "raw.duckdb"]
    return folder / "raw.duckdb"
