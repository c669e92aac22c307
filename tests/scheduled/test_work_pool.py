"""`prefect.yaml`: the same deployments for a work pool, and a real worker that runs one of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from pipelines.sandbox import World
from tests.end_to_end.banking import ROOT, a_bank, environment, settings_for
from tests.scheduled.serving import LONG, Server
from tests.scheduled.serving import environment as prefect_environment

TOLD = """
import json
from flows.deployments import SCHEDULE, TAGS, TIMEZONE
print(json.dumps([
    {"name": one.name, "entrypoint": f"{one.flow.fn.__module__}.{one.flow.fn.__name__}", "description": one.about, "tags": TAGS,
     "schedules": [{"cron": one.cron, "timezone": TIMEZONE}], "parameters": one.parameters}
    for one in SCHEDULE
]))
"""


def prefect(server: Server, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Prefect's own command line, in the project's folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=prefect_environment(server.home, PREFECT_API_URL=server.url, KONTOLEDGER_HOME=str(ROOT), **environ),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_file_says_what_the_code_says(server: Server) -> None:
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]

    said = json.loads(prefect(server, {}, "-c", TOLD).stdout)

    assert [without_pool(one) for one in written] == said
    assert {one["work_pool"]["name"] for one in written} == {"kontoledger"}


def test_a_worker_of_a_pool_runs_what_was_deployed(server: Server, tmp_path: Path) -> None:
    server.ask("/work_pools/", {"name": "kontoledger", "type": "process"})
    with a_bank(World(transactions=20)) as bank:
        settings = settings_for(bank, tmp_path / "data")
        environ = environment(bank, PIPELINES__DATA_DIR=str(settings.data_dir))
        prefect(server, environ, "-m", "prefect", "deploy", "--all")
        for schedule in ("ingest", "consent-revocation"):
            assert server.deployment(schedule)["work_pool_name"] == "kontoledger"
        run_id = server.trigger("ingest", sources=["kontist"])

        prefect(server, environ, "-m", "prefect", "worker", "start", "--pool", "kontoledger", "--run-once", "--limit", "1")
        (run,) = server.ended(run_id)

    assert (run["state_name"], run["name"]) == ("Completed", "ingest: Kontist"), run["state"]
    assert (settings.data_dir / "ledger.duckdb").exists()


def without_pool(deployment: dict[str, Any]) -> dict[str, Any]:
    """A deployment of the file as the code would say it."""
    return {"parameters": {}} | {name: value for name, value in deployment.items() if name != "work_pool"}
