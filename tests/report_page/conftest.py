"""One built ledger for the folder, and copies of it that hold what no sandbox would send."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.read.options import Options
from pipelines.report_page.page_options import PageOptions
from pipelines.report_page.rendering import render
from tests.support import FirstRuns, a_bank, read, rows


@pytest.fixture(scope="session")
def data(first_runs: FirstRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after two runs: the second found a correction, a reservation and money under way."""
    folder = tmp_path_factory.mktemp("report")
    world = first_runs.copy(folder, transactions=300)
    world.append("4711", amount="-12.34", pending=True)
    world.correct(world.account("Konto Start").transactions[-2], description="another text")
    with a_bank(world, dialect="live") as bank:
        assert read(bank, folder, Options(), report=True).status == "ok"
    return folder


class Draw:
    """Draws the page of a copy of the ledger, changed by statements."""

    def __init__(self, ledger: Path, copy: Path) -> None:
        self._ledger = ledger
        self.copy = copy

    def __call__(self, *statements: str, **options: Any) -> str:
        """Returns the page; `options` are those of `PageOptions`."""
        shutil.copyfile(self._ledger, self.copy)
        with duckdb.connect(self.copy) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)
            return render(connection, PageOptions(**options))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Returns what a query finds in the ledger as it was published."""
        return rows(self._ledger.parent, query)


@pytest.fixture
def draw(data: Path, tmp_path: Path) -> Draw:
    """Draws pages of this folder's ledger."""
    return Draw(data / "ledger.duckdb", tmp_path / "ledger.duckdb")
