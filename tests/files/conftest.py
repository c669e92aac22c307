"""An account that is connected, and read once."""

import shutil
from pathlib import Path

import pytest

from tests.files.scene import CLOSING, WORLD, bank
from tests.questions.asked import data_dir


@pytest.fixture(scope="session")
def connected_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_dir(tmp_path_factory.mktemp("connected"), bank(*WORLD[5:], balance=CLOSING))


@pytest.fixture
def connected(connected_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(connected_once, tmp_path / "data"))
