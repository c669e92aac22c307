"""`fleet run` with real processes of its own."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.fleet.cells import cell_statuses, fleet_of
from pipelines.settings import Settings
from sources.sandbox import Fault, SandboxBank, World
from sources.sandbox.banks.wire import Answer, Call
from tests.fleet.scene import connect, consent_of, fleet_settings
from tests.patience import patient
from tests.support import a_bank, begun, ended, environment


@pytest.fixture
def bank() -> Iterator[SandboxBank]:
    """A bank with little history."""
    with a_bank(World(transactions=60), dialect="live") as bank:
        yield bank


def variables(settings: Settings, bank: SandboxBank, **more: str) -> dict[str, str]:
    """Returns the environment of a machine of this fleet."""
    own = {"PIPELINES__VAULT_URL": str(settings.vault_url), "FLEET__CELLS": "4", "FLEET__FOLDER": str(settings.fleet.folder)}
    return environment(bank, **own, SOURCES__KONTIST__EMAIL="", SOURCES__KONTIST__PASSWORD="", **more)


def test_a_cell_that_cannot_be_read_is_named_with_the_sentence_of_its_process(
    settings: Settings, bank: SandboxBank, tmp_path: Path
) -> None:
    consent_of(settings, "K-1", "a")
    ran = ended(begun(tmp_path, variables(settings, bank, SOURCES__KONTOMATIK__API_KEY=""), "fleet", "run"))

    first, named = ran.out.splitlines()
    assert (ran.status, first) == (1, "1 cell due, 1 run here, 1 with trouble.")
    assert named.startswith("! cell-0000 ended with 2: Kontomatik is not configured: set sources.kontomatik.api_key")
    with fleet_of(settings) as database:
        assert [(one.holder, one.status) for one in cell_statuses(database)][:2] == [(None, 2), (None, None)]


@dataclass(eq=False)
class Waits(Fault):
    """Somebody waits for the answer to an import until the test lets it go on."""

    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if call.method == "GET" and "/command/" in call.path and self.take():
            self.asked.set()
            self.answer.wait(patient(30))
        return None


def test_ctrl_c_ends_the_processes_cleanly_and_gives_their_cells_back(
    settings: Settings, bank: SandboxBank, tmp_path: Path
) -> None:
    here = fleet_settings(str(settings.vault_url), tmp_path, bank=bank)
    connect(here, "K-1", "test2")
    waits = Waits(times=1)
    bank.faults[:] = [waits]
    process = begun(tmp_path, variables(here, bank), "fleet", "run", "--due", "0m", "--at-most", "2")
    assert waits.asked.wait(patient(60))

    process.send_signal(signal.SIGINT)
    ran = ended(process)
    waits.answer.set()

    assert (ran.status, "Interrupted. What was published before is untouched" in ran.err) == (130, True)
    with fleet_of(here) as database:
        first = cell_statuses(database)[0]
    assert (first.holder, first.status, first.version) == (None, 130, 1)
    left = {path.name for path in (here.fleet.folder / "cell-0000").iterdir()}
    assert left & {"raw.new.duckdb", ".work", "run.holder.json"} == set()
