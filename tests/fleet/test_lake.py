"""The lake, with a DuckDB that has its extensions."""

import subprocess
import sys
from pathlib import Path

from tests.fleet.lake_environment import lake_environment
from tests.patience import patient

ROOT = Path(__file__).parents[2]


def test_every_scenario_of_a_lake_holds(postgresql: str, tmp_path: Path) -> None:
    scenarios = [sys.executable, "-m", "pytest", f"--basetemp={tmp_path / 'lakes'}", "tests/fleet/lake_scenarios.py"]
    environ = {**lake_environment(), "LAKE_POSTGRESQL": postgresql}
    ended = subprocess.run(scenarios, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=patient(300), check=False)

    assert ended.returncode == 0, ended.stdout
    assert "skipped" not in ended.stdout
