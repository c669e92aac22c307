"""The lake, with a DuckDB that has its extensions."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.consents.database import Database
from pipelines.consents.tables import cells
from pipelines.errors import WrongUsage
from pipelines.fleet.lake_catalog import Lake, LakeCatalog
from pipelines.settings import Settings
from tests.consents.postgres import empty_database
from tests.fleet.lake_environment import lake_environment
from tests.patience import patient
from tests.support import ROOT, Ended, FirstRuns, begun_anew, ended, rows

READING = """
import duckdb, json, sys
from pipelines.fleet.lake_catalog import Lake

catalog = Lake(sys.argv[1], "").for_libpq().replace("'", "''")
duckdb.execute(f"load ducklake; load postgres; attach 'ducklake:postgres:{catalog}' as lake (read_only); use lake")
print(json.dumps(duckdb.execute(sys.argv[2]).fetchall(), default=str))
"""


def test_every_scenario_of_a_lake_holds(tmp_path: Path) -> None:
    files = [f"tests/fleet/lake_{kind}.py" for kind in ("scenarios", "content_scenarios", "bucket_scenarios")]
    scenarios = [sys.executable, "-m", "pytest", f"--basetemp={tmp_path / 'lakes'}", *files]
    ended = subprocess.run(
        scenarios, cwd=ROOT, env=lake_environment(), capture_output=True, text=True, timeout=patient(300), check=False
    )

    assert ended.returncode == 0, ended.stdout
    assert "skipped" not in ended.stdout


class Machine:
    """A machine of the fleet with a lake, where commands are typed."""

    def __init__(self, settings: Settings, catalog: str) -> None:
        self._folder = settings.fleet.folder.parent
        self._catalog = catalog
        self._environ = lake_environment()
        self._environ |= {"PYTHONPATH": f"{self._environ['PYTHONPATH']}:{ROOT}"}
        self._environ |= {"FLEET__CELLS": "4", "FLEET__FOLDER": str(settings.fleet.folder)}
        self._environ |= {"FLEET__LAKE": catalog, "FLEET__LAKE_DATA": str(self._folder / "lake")}
        self._environ |= {"PIPELINES__VAULT_URL": str(settings.vault_url), "PIPELINES__VAULT_KEY": str(settings.vault_key)}

    def fleet(self, *arguments: str, **more: str) -> Ended:
        """Runs `fleet` with these arguments."""
        return ended(begun_anew(self._folder, self._environ | more, "fleet", *arguments))

    def asked(self, query: str) -> list[list[object]]:
        """Asks the lake, not by code of ours."""
        asking = [sys.executable, "-c", READING, self._catalog, query]
        answer = subprocess.run(asking, cwd=ROOT, env=self._environ, capture_output=True, text=True, check=True)
        found: list[list[object]] = json.loads(answer.stdout)
        return found


@pytest.fixture
def machine(settings: Settings, postgresql: str) -> Machine:
    """A machine with an empty lake."""
    return Machine(settings, empty_database(postgresql))


def test_ledgers_are_published_checked_maintained_and_erased_by_commands(
    settings: Settings, database: Database, machine: Machine, first_runs: FirstRuns
) -> None:
    first_runs.copy(settings.fleet.folder / "cell-0000")
    database.write(cells.update().where(cells.c.cell.in_(["cell-0000", "cell-0001"])).values(version=1))

    published = machine.fleet("publish", "--json")
    ((count, amount),) = machine.asked("select count(*), sum(amount) from transactions where cell = 'cell-0000'")
    checked = machine.fleet("check")
    unchanged = machine.fleet("publish")
    database.write(cells.update().where(cells.c.cell == "cell-0000").values(erased_version=1))
    erased = machine.fleet("publish")  # as after a publisher that was killed between its commit and the removal
    at_last = machine.fleet("publish", "--json")
    maintained = machine.fleet("maintain")

    done = {"published": ["cell-0000"], "unchanged": [], "elsewhere": ["cell-0001"], "erased": [], "troubles": []}
    assert (published.status, published.parsed) == (0, done)
    of_ledger = rows(settings.fleet.folder / "cell-0000", "select count(*), sum(amount) from transactions")
    assert [(count, Decimal(str(amount)))] == of_ledger
    assert (checked.status, checked.out) == (0, "Checked 4 cells, 0 objects, 1 ledger on this machine: 0 findings.\n")
    assert unchanged.out == "Published 0 cells; 1 unchanged, 1 on other machines.\n"
    assert at_last.parsed["erased"] == []
    assert erased.out.splitlines()[1:] == ["- what was erased is removed from the lake for good: cell-0000"]
    assert (maintained.status, maintained.out) == (0, "The lake is maintained.\n")


def test_a_lake_that_is_not_described_is_refused(settings: Settings, machine: Machine) -> None:
    refused = machine.fleet("publish", FLEET__LAKE_DATA="")
    wrong = machine.fleet("maintain", FLEET__LAKE="duckdb:///lake.db")

    assert (refused.status, "the setting fleet.lake_data is empty" in refused.err) == (2, True)
    assert (wrong.status, "fleet.lake is no address of a PostgreSQL database" in wrong.err) == (2, True)


def test_the_database_of_the_vault_is_refused_as_a_lake(settings: Settings) -> None:
    with pytest.raises(WrongUsage, match="readers of a lake would see its tables"):
        LakeCatalog(Lake(str(settings.vault_url), "lake"))
