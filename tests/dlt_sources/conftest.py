"""Where the dlt sources load to: three kinds of destination."""

import uuid
from pathlib import Path
from typing import Any

import dlt
import pytest


class OneRowAKey(dlt.destinations.duckdb):
    """A destination that merges by key and keeps no versions, as several of dlt's do."""

    def _raw_capabilities(self) -> Any:
        capabilities = super()._raw_capabilities()
        capabilities.supported_merge_strategies = ["delete-insert"]
        capabilities.merge_strategies_selector = None
        return capabilities


@pytest.fixture(autouse=True)
def dlts_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlt keeps its working folders in the test's own, sends nothing anywhere, and finds nobody's `.dlt`."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "ERROR")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def in_duckdb(tmp_path: Path) -> Any:
    """A DuckDB file that does not exist yet."""
    return dlt.destinations.duckdb(str(tmp_path / "bank.duckdb"))


@pytest.fixture(params=["duckdb", "postgres", "filesystem"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A destination with nothing in it."""
    if request.param == "duckdb":
        return request.getfixturevalue("in_duckdb")
    if request.param == "without versions":
        return OneRowAKey(str(tmp_path / "bank.duckdb"))
    if request.param == "filesystem":
        return dlt.destinations.filesystem(str(tmp_path / "files"))
    import psycopg

    folder, name = request.getfixturevalue("postgresql").partition("host=")[2], f"bank_{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://vault@/postgres?host={folder}", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return dlt.destinations.postgres(f"postgresql://vault:none@localhost/{name}?host={folder}")
