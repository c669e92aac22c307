"""Runs that end before their time: killed, interrupted, out of space, or not the only one."""

import json
import random
import resource
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipelines.run.summary import as_json
from sources.sandbox import Fault, SandboxBank
from tests.end_to_end.killing import die_and_go_on
from tests.patience import patient
from tests.support import (
    FirstRuns,
    a_bank,
    assert_the_ledger_is_the_world,
    begun,
    command,
    ended,
    environment,
    read,
)

pytestmark = pytest.mark.usefixtures("by_dlt")
DEATHS = 2
"""`make bench` does fifty."""


@dataclass(eq=False)
class Silence(Fault):
    """The bank does what it is asked and never answers. `heard` is set when somebody asks."""

    heard: Event = field(default_factory=Event)

    def after(self, call: Any, _: Any, bank: SandboxBank, /) -> None:
        if self.meets(call) and self.take():
            self.heard.set()
            bank.wait(patient(60))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which both banks have been read; each test leaves it in step with the world."""
    return tmp_path_factory.mktemp("interrupted") / "data"


@pytest.fixture(scope="module")
def bank(first_runs: FirstRuns, data: Path) -> Iterator[SandboxBank]:
    with a_bank(first_runs.copy(data, transactions=300), dialect="live") as opened:
        yield opened


def test_whenever_a_run_is_killed_the_next_one_is_right(bank: SandboxBank, data: Path) -> None:
    moments = random.Random(2)  # noqa: S311
    hits = [die_and_go_on(data.parent, data, bank, moments.uniform(0.4, 1.2)) for _ in range(DEATHS)]

    assert any(hits)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_changes_nothing(bank: SandboxBank, data: Path, how: signal.Signals) -> None:
    before = _contents(data)
    silence = Silence(bank="kontist")
    bank.faults.append(silence)
    try:
        process = begun(data.parent, environment(bank), "run", "--json", "--data-dir", str(data))
        assert silence.heard.wait(patient(30))
        process.send_signal(how)
        said = ended(process)
    finally:
        bank.faults.clear()

    assert said.status == 130
    assert said.err == "Interrupted. What was published before is untouched; run again to go on.\n"
    assert said.parsed["status"] == "failed"
    assert _contents(data) == before


def test_killed_between_accept_and_load_the_import_is_resumed_and_none_is_spent(bank: SandboxBank, data: Path) -> None:
    # What the interrupted runs of other tests left is finished first: it is this run's own import that has to be resumed.
    read(bank, data, ledger=False)
    bank.world.append("Konto Start", amount="-9.99")
    silence = Silence(bank="kontomatik", path_contains="/v1/command/1")  # the look at the running command
    bank.faults.append(silence)
    process = begun(data.parent, environment(bank), "run", "--json", "--data-dir", str(data))
    assert silence.heard.wait(patient(30))
    process.kill()
    ended(process)
    bank.faults.clear()
    spent = _spent(bank)

    after = read(bank, data)
    assert (after.status, json.loads(as_json(after))["sources"]["kontomatik"]["imports"]) == ("ok", 0)
    assert _spent(bank) == spent
    assert_the_ledger_is_the_world(data, bank)


def test_a_second_run_names_the_first_and_leaves_it_alone(bank: SandboxBank, data: Path) -> None:
    silence = Silence(bank="kontist")
    bank.faults.append(silence)
    try:
        first = begun(data.parent, environment(bank), "run", "--json", "--data-dir", str(data))
        assert silence.heard.wait(patient(30))
        for other in (["run"], ["transform"]):
            second = command(data.parent, environment(bank), *other, "--data-dir", str(data))
            assert second.status == 1
            assert f"Process {first.pid} (run, since " in second.err
            assert "Traceback" not in second.err
        assert command(data.parent, environment(bank), "status", "--json", "--data-dir", str(data)).status == 0
        first.kill()
        ended(first)
    finally:
        bank.faults.clear()

    # The dead one's files are still there; its lock is not.
    assert json.loads((data / "run.holder.json").read_text())["pid"] == first.pid
    assert read(bank, data).status == "ok"
    assert not (data / "run.holder.json").exists()
    assert_the_ledger_is_the_world(data, bank)


@pytest.mark.parametrize("room", [0, 1024, -1024])
def test_a_full_disk_is_reported_and_changes_nothing(bank: SandboxBank, data: Path, room: int) -> None:
    """No file may be larger than `room` bytes; below 0, than raw history and so many more: full when it is written back."""
    bank.world.append("4711", amount="-1.00")
    bank.world.append("Konto Start", amount="-1.00")
    before = _contents(data)
    limit = room if room >= 0 else (data / "raw.duckdb").stat().st_size - room
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))

    said = command(data.parent, environment(bank), "run", "--json", "--data-dir", str(data), inside=limited)

    assert said.status == 1
    assert said.err.startswith("Raw history could not be written beside ")
    assert "Make room" in said.err
    assert _contents(data) == before
    assert sorted(path.name for path in data.glob("*.new*")) == []


def test_after_all_that_the_next_run_is_right_and_files_are_private(bank: SandboxBank, data: Path) -> None:
    assert command(data.parent, environment(bank), "run", "--json", "--data-dir", str(data)).status == 0
    assert_the_ledger_is_the_world(data, bank)
    for name in ("raw.duckdb", "raw.previous.duckdb", "vault.sqlite", "run.last.json", "run.lock"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    assert not [path for path in data.iterdir() if ".new" in path.name or path.name in (".work", ".spill", "run.holder.json")]


def _contents(data: Path) -> dict[str, bytes]:
    return {name: (data / name).read_bytes() for name in ("raw.duckdb", "raw.previous.duckdb", "ledger.duckdb")}


def _spent(bank: SandboxBank) -> int:
    return sum(len(times) for times in bank.world.imports.values())
