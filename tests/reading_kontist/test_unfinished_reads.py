"""Whole runs whose first read breaks off: the next run goes on where they stopped."""

import random
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipelines.store.unfinished import UnfinishedRead
from sources.kontist import kept_read
from sources.sandbox import Fault, SandboxBank, World, running
from tests.patience import patient
from tests.reading_kontist.test_whole_runs import kept, read, shown
from tests.support import begun, ended, environment

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@dataclass(eq=False)
class SilentFrom(Fault):
    """Answers no page of transactions from page `page` on. `heard` is set when somebody asks for one."""

    page: int = 2
    heard: Event = field(default_factory=Event)

    def after(self, call: Any, _: Any, bank: SandboxBank, /) -> None:
        if call.path.endswith("/transactions") and int(call.query.get("page", "1")) >= self.page:
            self.heard.set()
            bank.wait(patient(60))


def keep_every_page() -> None:
    kept_read.SECONDS = 0.0


def break_off(bank: SandboxBank, folder: Path, page: int, how: int) -> None:
    """Runs until page `page` of the first account is asked for, then sends the signal."""
    silent = SilentFrom(page=page)
    bank.faults.append(silent)
    environ = environment(bank, SOURCES__KONTIST__PAGES_IN_FLIGHT="1")
    process = begun(folder, environ, "run", "--source", "kontist", "--data-dir", str(folder / "data"), inside=keep_every_page)
    try:
        assert silent.heard.wait(patient(30))
        process.send_signal(how)
    finally:
        bank.faults.clear()
        bank.faults.append(silent)
        ended(process)
        bank.faults.clear()


def pages_asked(bank: SandboxBank) -> int:
    return bank.count("GET", "/transactions")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_first_read_that_is_broken_off_is_taken_up_and_right(how: int, tmp_path: Path) -> None:
    page = random.Random(how).randrange(12, 20)  # noqa: S311
    world = World(transactions=1200)
    with running(world) as bank:
        break_off(bank, tmp_path, page, how)
        parts = list((tmp_path / "data" / "unfinished").rglob("*.*"))
        assert len(parts) >= 2
        assert {stat.S_IMODE(one.stat().st_mode) for one in parts} == {0o600}
        assert {stat.S_IMODE(one.parent.stat().st_mode) for one in parts} == {0o700}
        accounts = [one for one in world.accounts if one.bank == "kontist"]
        world.append(accounts[0], amount="-1.23")
        before = pages_asked(bank)
        report = read(bank, tmp_path / "data")

        for account, outcome in zip(accounts, report.outcomes, strict=True):
            assert kept(tmp_path / "data", str(outcome.account_id)) == shown(account)
        assert pages_asked(bank) - before < -(-len(accounts[0].newest_first()) // 50)
        assert not (tmp_path / "data" / "unfinished").exists()


# ---- the files


def keeper(folder: Path, basis: Any = "b", now: datetime = NOW) -> UnfinishedRead:
    return UnfinishedRead(folder, "kontist:1", {"cursor": basis}, now)


def test_parts_come_back_in_their_order_to_the_same_read_within_a_week(tmp_path: Path) -> None:
    first = keeper(tmp_path)
    for number in range(12):
        first.keep(b"%d" % number)

    again = keeper(tmp_path, now=NOW + timedelta(days=7))
    assert list(again.kept()) == [b"%d" % number for number in range(12)]
    again.keep(b"12")
    assert list(keeper(tmp_path).kept())[-1] == b"12"


@pytest.mark.parametrize(
    "other",
    [
        lambda folder: keeper(folder, basis="loaded since"),
        lambda folder: keeper(folder, now=NOW + timedelta(days=8)),
        lambda folder: keeper(folder, now=NOW - timedelta(days=8)),
    ],
)
def test_parts_of_another_read_or_an_old_one_are_dropped(other: Callable[[Path], UnfinishedRead], tmp_path: Path) -> None:
    keeper(tmp_path).keep(b"part")

    assert list(other(tmp_path).kept()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_a_part_ends_the_keeping_and_not_the_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = keeper(tmp_path)
    one.keep(b"part")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.store.unfinished.sync", full)
    one.keep(b"another")
    monkeypatch.undo()
    one.keep(b"a third")
    assert list(tmp_path.iterdir()) == []
