"""What whole processes cost: seconds, processor seconds, peak memory, requests."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bank import Bank

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    cpu: float
    """User and system, of all threads."""
    mebibytes: float
    """The most that it held at a time."""
    requests: int
    bank_cpu: float
    """Processor seconds of the sandbox meanwhile."""


def cost_of(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], bank: Bank | None = None) -> Cost:
    """Returns what `python ARGUMENTS` costs, from its start to its end, in `folder`. Ends the benchmark when it fails."""
    before = bank.spent() if bank is not None else (0, 0.0)
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(arguments)} ended with {process.returncode}:\n{said.read().decode(errors='replace')[-2000:]}")
    after = bank.spent() if bank is not None else (0, 0.0)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, after[0] - before[0], after[1] - before[1])


def typical(costs: Sequence[Cost]) -> Cost:
    """Returns the medians of several runs, each number for itself."""
    return Cost(
        median(one.seconds for one in costs),
        median(one.cpu for one in costs),
        median(one.mebibytes for one in costs),
        int(median(one.requests for one in costs)),
        median(one.bank_cpu for one in costs),
    )
