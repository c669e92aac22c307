"""Raw histories to read into, empty at the start of each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.histories import Raw, raw_history


@pytest.fixture
def fresh(empty_raw: Path, tmp_path: Path) -> Path:
    """A data directory whose raw history has tables and no rows."""
    shutil.copy(empty_raw, tmp_path / "raw.duckdb")
    return tmp_path


@pytest.fixture
def ids(fresh: Path) -> Iterator[Raw]:
    """A bank that gives every row an id."""
    with raw_history(fresh, "kontist") as raw:
        yield raw
        assert raw.faults() == raw.days_that_differ() == []


@pytest.fixture
def no_ids(fresh: Path) -> Iterator[Raw]:
    """A bank whose rows are known by day, amount and number alone."""
    with raw_history(fresh, "kontomatik") as raw:
        yield raw
        assert raw.faults() == raw.days_that_differ() == []
