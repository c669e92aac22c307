"""Runs that die, and the run after them. Used by the tests for a few deaths, by `make bench` for many."""

import signal
import subprocess
from pathlib import Path

from sources.sandbox import SandboxBank
from tests.forks import Fork
from tests.patience import patient
from tests.support import assert_the_ledger_is_the_world, begun, environment, opened, read


def killed_after(process: Fork, seconds: float, how: int = signal.SIGKILL) -> bool:
    """Let it live so long, then send the signal; whether it was still alive."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        process.communicate(timeout=patient(60))
        return True
    return False


def die_and_go_on(folder: Path, data: Path, bank: SandboxBank, seconds: float) -> bool:
    """Change the world, kill a run after so many seconds, then let one finish in this process. Whether the kill hit a living one.

    Raises `AssertionError` unless what died left files that open, and what came after it brings the ledger to the world.
    """
    world = bank.world
    newest = [row for row in world.account("4711").transactions if row.booked_on is not None]
    world.append("4711", amount="-1.23")
    world.append("Konto Start", amount="-4.56")
    world.correct(newest[2], amount=newest[2].amount + 1)
    hit = killed_after(begun(folder, environment(bank), "run", "--json", "--data-dir", str(data)), seconds)
    for name in ("raw", "raw.previous", "ledger"):
        if (data / f"{name}.duckdb").exists():
            with opened(data, name) as connection:
                connection.execute("select count(*) from duckdb_tables()")
    assert read(bank, data).status == "ok", seconds
    assert_the_ledger_is_the_world(data, bank)
    return hit
