"""The files of `deploy/`: units, login, logs."""

import json
import logging
import logging.config
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import prefect.logging
import pytest
import yaml
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running

from flows import consents, ingest
from flows.deployments import SCHEDULE, TAGS, TIMEZONE
from pipelines.commands.cli import parser
from tests.support import ROOT

DEPLOY = ROOT / "deploy"
UNITS = ("kontoledger.service", "prefect-server.service")
WATCH = "kontoledger-watch.service"


def read(path: Path) -> dict[str, Any]:
    """A YAML file."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_login_is_written_once_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(DEPLOY / "login", tmp_path / "deploy")

    first, again = (
        subprocess.run(["/bin/sh", tmp_path / "deploy" / "login"], capture_output=True, text=True, check=False) for _ in range(2)
    )

    written = tmp_path / "prefect-auth.env"
    server, client = (line.partition("=") for line in written.read_text(encoding="utf-8").splitlines())
    assert (first.returncode, again.returncode) == (0, 1), first.stderr + again.stderr
    assert written.stat().st_mode & 0o777 == 0o600
    assert (server[0], client[0]) == ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
    assert server[2] == client[2]
    assert len(server[2].removeprefix("kontoledger:")) == 48
    assert server[2] not in first.stdout


def test_no_unit_and_no_container_starts_without_the_login() -> None:
    for unit in UNITS:
        assert "\nEnvironmentFile=/srv/kontoledger/prefect-auth.env\n" in (DEPLOY / unit).read_text(encoding="utf-8")
    for name, service in read(DEPLOY / "compose.yaml")["services"].items():
        assert "../prefect-auth.env" in service["env_file"], name
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"prefect-auth.env", ".prefect/"} <= set(ignored)


def test_server_in_a_container_is_set_up_as_the_one_of_the_unit() -> None:
    lines = (DEPLOY / "prefect.env").read_text(encoding="utf-8").splitlines()
    unit = dict(line.split("=", 1) for line in lines if line.startswith("PREFECT_SERVER_"))
    image = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    container = read(DEPLOY / "compose.yaml")["services"]["server"]["environment"]

    assert unit == {name: value for name, value in (image | container).items() if name in unit}


def test_automations_listen_to_states_that_a_run_of_ours_ends_in() -> None:
    """An event has the name of the state, so a rule for a name that nothing has would never fire."""
    rules = read(DEPLOY / "automations.yaml")["automations"]
    expected = {event.removeprefix("prefect.flow-run.") for rule in rules for event in rule["trigger"]["expect"]}
    ours = {ingest.REFUSED, ingest.INCOMPLETE, "StillRevoking"}
    of_prefect = {state().name for state in (Failed, Crashed, Completed, Pending, Running, Cancelled)}

    assert expected == ours | of_prefect
    assert {rule["trigger"]["within"] for rule in rules if rule["trigger"]["posture"] == "Proactive"} == {3600, 13 * 3600}
    assert '"StillRevoking"' in Path(consents.__file__).read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("unit", [*UNITS, WATCH])
def test_a_unit_may_do_little_more_than_it_needs(unit: str) -> None:
    said = subprocess.run(
        [shutil.which("systemd-analyze") or "", "security", "--offline=true", "--threshold=40", "--no-pager", DEPLOY / unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout[-2000:] + said.stderr


def test_the_watch_asks_for_ages_and_metrics_as_the_command_takes_them() -> None:
    unit = (DEPLOY / WATCH).read_text(encoding="utf-8")
    (command,) = [line.partition(" -m pipelines ")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    asked = parser().parse_args(command.split())
    (folder,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("StateDirectory=")]

    assert asked.max_age == 13
    assert asked.openmetrics == Path("/var/lib") / folder / "kontoledger.prom"
    assert "OnCalendar=" in (DEPLOY / "kontoledger-watch.timer").read_text(encoding="utf-8")


def test_logs_of_json_are_prefects_own_but_for_the_console() -> None:
    ours, own = read(DEPLOY / "logging.yaml"), read(Path(prefect.logging.__file__).with_name("logging.yml"))

    assert ours["loggers"] == own["loggers"]
    assert ours["root"] == own["root"]
    assert {name: ours["handlers"][name] for name in ("api", "worker_api")} == {
        name: own["handlers"][name] for name in ("api", "worker_api")
    }
    assert ours["handlers"].keys() == own["handlers"].keys()


def test_a_line_of_the_log_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    about = read(DEPLOY / "logging.yaml")["formatters"]
    chosen: Any = logging.config.DictConfigurator({"version": 1})
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(chosen.configure_formatter(about["json"]))

    handler.emit(logging.LogRecord("prefect.flow_runs", logging.WARNING, __file__, 1, "Skipped: %s\nbusy", ("ingest",), None))

    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["name"], said["severity"], said["msg"], said["args"]) == (
        "prefect.flow_runs",
        "WARNING",
        "Skipped: %s\nbusy",
        ["ingest"],
    )


def test_the_file_says_what_the_code_says() -> None:
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]

    said = [
        {
            "name": one.name,
            "entrypoint": f"{one.flow.fn.__module__}.{one.flow.fn.__name__}",
            "description": one.about,
            "tags": TAGS,
            "schedules": [{"cron": one.cron, "timezone": TIMEZONE}],
            "parameters": one.parameters,
        }
        for one in SCHEDULE
    ]

    assert [without_pool(one) for one in written] == said
    assert {one["work_pool"]["name"] for one in written} == {"kontoledger"}


def without_pool(deployment: dict[str, Any]) -> dict[str, Any]:
    """A deployment of the file as the code would say it."""
    return {"parameters": {}} | {name: value for name, value in deployment.items() if name != "work_pool"}
