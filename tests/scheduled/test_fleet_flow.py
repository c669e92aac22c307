"""A fleet as a flow and as a service: the state that a run means, and files of `deploy/fleet/` that name what there is."""

import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prefect.logging import disable_run_logger
from prefect.settings import get_current_settings
from prefect.utilities.importtools import import_object

from flows import fleet, ingest
from pipelines.commands.cli import parser
from pipelines.fleet.workers import CellRun, FleetReport
from pipelines.notify.dispatch import Dispatched
from pipelines.settings import NAMES, FleetSettings, Settings
from tests.support import ROOT

DEPLOY = ROOT / "deploy" / "fleet"
UNIT = DEPLOY / "kontoledger-fleet.service"


def read(name: str) -> dict[str, Any]:
    """A YAML file of the folder."""
    return dict(yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("statuses", "trouble", "kind", "name"),
    [
        ((0, 0), None, "COMPLETED", "Completed"),
        ((0, 4), None, "FAILED", ingest.INCOMPLETE),
        ((4, 3), None, "FAILED", ingest.REFUSED),
        ((3, -9), None, "FAILED", "Failed"),
        ((), "The vault's database cannot be used", "FAILED", "Failed"),
    ],
)
def test_a_flow_ends_as_the_command_does_and_names_the_cells_with_trouble(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statuses: tuple[int, ...], trouble: str | None, kind: str, name: str
) -> None:
    runs = [CellRun(f"cell-000{number}", status, "why" if status else None) for number, status in enumerate(statuses)]
    report = FleetReport(due=3, runs=runs, trouble=trouble)
    asked: list[Any] = []
    digested: list[Any] = []

    class Ran:
        def __init__(self, settings: Settings, after: Any, at_most: int) -> None:
            asked.extend([settings.fleet.folder, after.total_seconds(), at_most])

        def run(self, _now: Any) -> FleetReport:
            return report

    def digest(_settings: Any, cells: list[str], _now: Any) -> Dispatched:
        digested.extend(cells)
        return Dispatched()

    monkeypatch.setattr(fleet, "Workers", Ran)
    monkeypatch.setattr(fleet, "send_digest", digest)
    monkeypatch.setattr(fleet, "load_settings", lambda: Settings(fleet=FleetSettings(cells=4, folder=tmp_path)))
    with disable_run_logger():
        state = fleet.fleet.fn(due_hours=2, at_most=3)

    assert (state.type.value, state.name) == (kind, name)
    assert asked == [tmp_path, 7200, 3]
    assert digested == [run.cell for run in runs]
    assert all(f"{run.cell} ended with {run.status}: why" in str(state.message) for run in runs if run.status)
    assert trouble is None or trouble in str(state.message)


def test_the_rule_for_runs_without_a_process_waits_for_more_than_one_sign_of_life_and_for_each_end() -> None:
    (rule,) = read("automations.yaml")["automations"]
    assert rule["trigger"]["match_related"]["prefect.resource.name"] == fleet.fleet.name
    assert rule["trigger"]["within"] > 2 * (get_current_settings().flows.heartbeat_frequency or 0) > 0
    states = {"Completed", "Failed", ingest.INCOMPLETE, ingest.REFUSED, "Cancelled", "Crashed"}
    assert set(rule["trigger"]["expect"]) == {f"prefect.flow-run.{state}" for state in states | {"heartbeat"}}


def test_the_deployment_starts_the_flow_on_the_pool_of_the_document() -> None:
    (deployment,) = read("prefect.yaml")["deployments"]
    module, _, name = deployment["entrypoint"].rpartition(".")
    assert import_object(f"{module}.{name}") is fleet.fleet
    assert deployment["name"] == fleet.fleet.name
    assert deployment["description"].strip() == str(fleet.fleet.description).partition("Args:")[0].strip()
    document = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    assert f"prefect work-pool create {deployment['work_pool']['name']} " in document
    assert read("prefect.yaml")["prefect-version"] == yaml.safe_load((ROOT / "prefect.yaml").read_text())["prefect-version"]


def test_containers_set_what_there_is_to_set_and_call_what_there_is_to_call() -> None:
    services = read("compose.yaml")["services"]
    known = {f"{section}__{name}".replace(".", "__").upper() for section, names in NAMES.items() for name in names}
    for worker in (services["worker-1"], services["worker-2"]):
        assert {name for name in worker["environment"] if not name.startswith("AWS_")} <= known
        assert urlsplit(worker["environment"]["AWS_ENDPOINT_URL_S3"]).hostname in services
        assert worker["build"]["args"] == {"EXTRA": "[fleet]"}
        (line,) = [one for one in worker["command"][2].splitlines() if " -m pipelines " in one]
        asked = parser().parse_args(line.partition(" -m pipelines ")[2].partition(" &")[0].split())
        assert asked.at_most == 4
    assert services["worker-1"]["environment"]["FLEET__STORE"] == services["worker-2"]["environment"]["FLEET__STORE"]
    assert services["worker-1"]["volumes"] != services["worker-2"]["volumes"]


def test_the_unit_calls_the_command_as_it_takes_it_and_is_allowed_little(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    (line,) = [one for one in text.splitlines() if one.startswith("ExecStart=")]
    asked = parser().parse_args(line.partition(" -m pipelines ")[2].split())
    assert (asked.due.total_seconds(), asked.at_most, asked.quiet) == (5 * 3600, 8, True)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    python = line.partition("=")[2].split()[0]
    (tmp_path / UNIT.name).write_text(text.replace(python, shutil.which("env") or "").replace("User=kontoledger\n", ""))
    shutil.copy(DEPLOY / "kontoledger-fleet.timer", tmp_path)
    for arguments in (
        ("verify", *map(str, sorted(tmp_path.iterdir()))),
        ("security", "--offline=true", "--threshold=40", "--no-pager", str(UNIT)),
    ):
        said = subprocess.run([analyze, *arguments], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout[-2000:] + said.stderr
