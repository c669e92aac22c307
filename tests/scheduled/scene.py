"""A scene on a real Prefect server: a bank, consents of every age, and the deployments served; and what is asked of it."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from pipelines.settings import Settings
from sources.sandbox import SandboxBank
from tests.scheduled.desk import somebody_listening
from tests.scheduled.serving import LONG, Server, Serving
from tests.scheduled.serving import environment as serving_environment
from tests.support import ROOT


@dataclass
class Scene:
    """A bank, a data directory with consents of every age, and the deployments served."""

    server: Server
    served: Serving
    bank: SandboxBank
    settings: Settings
    environ: dict[str, str]
    heard: list[dict[str, Any]]
    consents: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    @property
    def folder(self) -> Path:
        return self.data_dir.parent

    def imports(self) -> int:
        """How often the bank was asked for an import."""
        return sum(len(times) for times in self.bank.world.imports.values())


def block_document(server: Server, slug: str, name: str, data: dict[str, Any]) -> str:
    """What `Secret(value=…).save(name)` does, for a block of any type; its id."""
    kind = server.ask(f"/block_types/slug/{slug}")
    schema = server.ask("/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}})[0]
    about = {"name": name, "data": data, "block_type_id": kind["id"], "block_schema_id": schema["id"]}
    return str(server.ask("/block_documents/", about)["id"])


@contextmanager
def automations_loaded(server: Server) -> Iterator[list[dict[str, Any]]]:
    """Inside the block the rules of deploy/automations.yaml are the server's; what they send, as its header says to set it up."""
    with somebody_listening() as (hook, notified):
        said = {"name": "kontoledger", "url": hook, "json_data": {"subject": "{{subject}}", "body": "{{body}}"}}
        block = block_document(server, "custom-webhook", "kontoledger", said)
        rules = (ROOT / "deploy" / "automations.yaml").read_text(encoding="utf-8").replace(str(UUID(int=0)), block)
        made = [server.ask("/automations/", rule)["id"] for rule in yaml.safe_load(rules)["automations"]]
        assert len(made) == 6
        yield notified
        for one in made:
            server.ask(f"/automations/{one}", method="DELETE")


def prefect(server: Server, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Prefect's own command line, in the project's folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=serving_environment(server.home, **server.client, KONTOLEDGER_HOME=str(ROOT), **environ),
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def digest(path: Path) -> str:
    """What a file holds, in short."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
