"""What several tests of consents start from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.consents.killing import Killer
from tests.consents.quick import INSTEAD


@pytest.fixture(scope="session")
def the_killer() -> Killer:
    """Runs commands and kills them."""
    return Killer()


@pytest.fixture
def new_folder(tmp_path: Path, empty_raw: Path) -> Callable[[], Path]:
    """Makes data directories whose raw history has tables and no rows: the first load is not what is tested here."""
    made = 0

    def make() -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"data-{made}"
        folder.mkdir()
        shutil.copy(empty_raw, folder / "raw.duckdb")
        return folder

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dlt, no ledger: for what is about neither."""
    for module, name, way in INSTEAD:
        monkeypatch.setattr(module, name, way)
