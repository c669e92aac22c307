"""A real Prefect server, a process that serves the deployments, and what the server's API says of them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.patience import patient
from tests.support import ROOT

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
LOGIN = "kontoledger:of this test only"
AUTHORIZED = {"Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"}
LONG = patient(180.0)
"""Seconds after which nothing will come any more."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nobody's settings but these; nothing is sent anywhere."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return inherited | {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        **more,
    }


def deployed() -> dict[str, str]:
    """What deploy/prefect.env says about the server and is not this test's own business."""
    lines = (ROOT / "deploy" / "prefect.env").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in settings.items() if name.startswith("PREFECT_SERVER_")}


def until(done: Callable[[], Any], seconds: float = LONG, what: str = "it") -> Any:
    """What `done` says once it says something; fails when it does not in so many seconds."""
    end = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen in {seconds:.0f} seconds")
        time.sleep(0.1)
    return found


@dataclass
class Server:
    """Prefect's server, asked by HTTP as anybody may."""

    url: str
    home: Path

    @property
    def client(self) -> dict[str, str]:
        """What a process needs to ask it."""
        return {"PREFECT_API_URL": self.url, "PREFECT_API_AUTH_STRING": LOGIN}

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Inside the block Prefect's clients of this process ask it."""
        with temporary_settings({PREFECT_API_URL: self.url, PREFECT_API_AUTH_STRING: LOGIN}):
            yield

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """One request to the API; JSON in and out.

        Its SQLite may be busy for a moment: it says so by 503, or by no answer at all while the disk is slow. Every request of
        these tests may be sent again.
        """
        for _ in range(int(patient(20))):
            try:
                return self._ask(path, body, method)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            except TimeoutError:
                continue
            time.sleep(0.2)
        raise AssertionError(f"{path} is busy for good")

    def _ask(self, path: str, body: Any, method: str | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}{path}",
            data,
            {"Content-Type": "application/json"} | AUTHORIZED,
            method=method or ("GET" if data is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=patient(30)) as answer:  # noqa: S310
            content = answer.read()
        return json.loads(content) if content else None

    def alive(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(OSError):
            return bool(self.ask("/health"))
        return False

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment of ours."""
        return dict(self.ask(f"/deployments/name/{name}/{name}"))

    def trigger(self, name: str, **parameters: Any) -> str:
        """Start a run now; its id. The key makes it one run, however often it is asked for."""
        wanted = {"parameters": parameters, "idempotency_key": uuid4().hex}
        run = self.ask(f"/deployments/{self.deployment(name)['id']}/create_flow_run", wanted)
        return str(run["id"])

    def planned(self, name: str) -> list[str]:
        """The runs that the schedule of a deployment has planned."""
        chosen = {"deployment_id": {"any_": [self.deployment(name)["id"]]}, "state": {"name": {"any_": ["Scheduled"]}}}
        return [str(run["id"]) for run in self.ask("/flow_runs/filter", {"flow_runs": chosen, "limit": 10})]

    def run(self, run_id: str) -> dict[str, Any]:
        """A run as it is now."""
        return dict(self.ask(f"/flow_runs/{run_id}"))

    def ended(self, *run_ids: str) -> list[dict[str, Any]]:
        """These runs, once all of them have come to an end."""

        def all_over() -> list[dict[str, Any]] | None:
            runs = [self.run(run_id) for run_id in run_ids]
            return runs if all(run["state_type"] in FINAL for run in runs) else None

        return list(until(all_over, what=f"the end of {len(run_ids)} runs"))

    def let_nothing_come_due(self) -> None:
        """Take out what the schedules would start in the next minutes: at :45 a test would meet a run that it did not begin."""

        def planned() -> list[dict[str, Any]] | None:
            found = self.ask("/flow_runs/filter", {"flow_runs": {"state": {"name": {"any_": ["Scheduled"]}}}, "limit": 200})
            return found if len({run["deployment_id"] for run in found}) == 6 else None

        soon = datetime.now(UTC) + timedelta(minutes=10)
        for run in until(planned, what="the first plan"):
            if datetime.fromisoformat(run["expected_start_time"]) < soon:
                self.ask(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})

    def tasks(self, run_id: str) -> dict[str, str]:
        """The tasks of a run and the name of each one's state."""
        found = self.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 100})
        return {task["name"]: task["state_name"] for task in found}

    def places_taken(self) -> int:
        """How many of Kontomatik's eight commands the server counts as under way."""
        return int(self.ask("/v2/concurrency_limits/kontomatik-commands")["active_slots"])

    def artifacts(self, run_id: str) -> dict[str, Any]:
        """What a run shows: by key, tables as rows."""
        found = self.ask("/artifacts/filter", {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 100, "sort": "CREATED_DESC"})
        return {one["key"]: json.loads(one["data"]) if one["type"] == "table" else one["data"] for one in found}

    def events(self, *names: str, count: int = 1) -> list[dict[str, Any]]:
        """Our events of these names, oldest first, once there are `count`: they arrive a moment after they were sent."""
        chosen = {"event": {"name": list(names)}, "order": "ASC"}

        def enough() -> list[dict[str, Any]] | None:
            found = self.ask("/events/filter", {"filter": chosen, "limit": 50})["events"]
            return found if len(found) >= count else None

        return list(until(enough, what=f"{count} events {', '.join(names)}"))

    def all_told(self) -> str:
        """All that our events say, and all that is kept of tasks: names, states, inputs."""
        ours = {"event": {"prefix": ["kontoledger."]}}
        result = self.ask("/events/filter", {"filter": ours, "limit": 50})["events"]
        return json.dumps([result, self.ask("/task_runs/filter", {"limit": 200})])

    def logs(self, run_id: str) -> str:
        """All that a run and its tasks logged."""
        found = self.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}, "limit": 200})
        return "\n".join(line["message"] for line in found)


@contextmanager
def a_server(home: Path) -> Iterator[Server]:
    """A server on a free port; about eight seconds until its database is made."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}/api", home)
    options = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *options],
            cwd=home,
            env=environment(home, PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="2", PREFECT_SERVER_API_AUTH_STRING=LOGIN)
            | deployed(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until(server.alive, what="the server's first answer")
            yield server
        finally:
            ended(process, signal.SIGTERM)


@dataclass
class Serving:
    """`python -m flows serve` in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """The machine goes down: this process and every run that it started are gone at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=patient(30))


@contextmanager
def serving(server: Server, folder: Path, environ: Mapping[str, str]) -> Iterator[Serving]:
    """The deployments, served; ends with the block."""
    log = folder / f"serve-{time.monotonic_ns()}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", "serve", "--poll", "1"],
            cwd=folder,
            env=environment(server.home, **(server.client | dict(environ))),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            # It is ready when the last of the deployments is there, and not paused any more.
            until(lambda: _served(server) or process.poll() is not None, what="serving")
            assert process.poll() is None, log.read_text()
            yield Serving(process, log)
        finally:
            ended(process, signal.SIGTERM)


def ended(process: subprocess.Popen[Any], how: signal.Signals) -> None:
    """End a process group of ours; kill what does not end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        process.wait(timeout=patient(15))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=patient(15))


def names_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """How runs ended."""
    return sorted(str(run["state_name"]) for run in runs)


def _served(server: Server) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):
        return not server.deployment("catalog")["paused"]
    return False
