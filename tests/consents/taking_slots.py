"""Processes that hold slots of a shared vault, and are killed. `python -m tests.consents.taking_slots ADDRESS` writes JSON.

The parent counts the slots that are held: a child reports after it has taken one and before it gives it back.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from pipelines.consents.vault import Vault
from pipelines.read.shared_slots import SharedSlots
from tests.patience import patient

PROCESSES, SLOTS = 24, 8
QUIET = 0.6
"""Seconds in which a ninth would have come: every process asks four times a second."""


def _child(url: str, report: int, go: int) -> None:
    slots = SharedSlots(Vault(Path("none"), None, url=url).database, "the client's key", SLOTS)
    with slots.slot():
        os.write(report, f"+ {os.getpid():>10}\n".encode())
        os.read(go, 1)  # holds it until the parent says so, or until it is killed
        os.write(report, f"- {os.getpid():>10}\n".encode())


class _Parent:
    def __init__(self, reports: int) -> None:
        self._reports = reports
        self.holders: set[int] = set()
        self.most = 0

    def watch(self, seconds: float, until: int = PROCESSES) -> float:
        """Reads reports until that many hold a slot, at most for `seconds`; returns the seconds that it took."""
        begun = time.monotonic()
        while len(self.holders) < until and (left := begun + seconds - time.monotonic()) > 0:
            if select.select([self._reports], [], [], left)[0]:
                what, pid = os.read(self._reports, 13).decode().split()
                (self.holders.add if what == "+" else self.holders.discard)(int(pid))
                self.most = max(self.most, len(self.holders))
        return time.monotonic() - begun

    def kill_all(self) -> None:
        """Kills all that hold a slot."""
        for pid in self.holders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.holders.clear()


def main(url: str) -> None:
    """Starts the processes, kills those that got slots, then those that got slots after them; the last ones give theirs back."""
    Vault(Path("none"), None, url=url).close()
    (reports, report), (go_on, go) = os.pipe(), os.pipe()
    children = []
    for _ in range(PROCESSES):
        if (child := os.fork()) == 0:
            os.close(go)
            _child(url, report, go_on)
            os._exit(0)
        children.append(child)
    parent, waits = _Parent(reports), []
    parent.watch(patient(30), SLOTS)
    parent.watch(QUIET)
    killed = set(parent.holders)
    parent.kill_all()
    waits.append(parent.watch(patient(30), SLOTS))
    parent.watch(QUIET)
    killed |= parent.holders
    parent.kill_all()
    waits.append(parent.watch(patient(30), SLOTS))
    os.close(go)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children if child not in killed)
    sys.stdout.write(json.dumps({"most": parent.most, "killed": len(killed), "failed": failed, "waits": waits}))


if __name__ == "__main__":
    main(*sys.argv[1:])
