"""Chooses the memory of DuckDB where no setting does: a quarter of what is free, within bounds."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

SMALLEST, LARGEST = 256, 2048
"""Mebibytes. Below the first a ledger of a million transactions spills too much, above the second it gains nothing."""
MEBI = 2**20


def share_of(free: Iterable[int]) -> int:
    """Returns a quarter of the smallest of these numbers of bytes, in mebibytes and within the bounds; of none `SMALLEST`."""
    return max(SMALLEST, min(LARGEST, min(free, default=0) // (4 * MEBI)))


def free_bytes(root: Path = Path("/")) -> Iterator[int]:
    """Yields what Linux calls available, and the limit of each control group that this process is in. Elsewhere nothing."""
    with suppress(OSError):
        for found in re.findall(r"^MemAvailable: *(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE):
            yield int(found) * 1024
    for path in _limits(root):
        with suppress(OSError, ValueError):  # "max": no limit
            yield int(path.read_text())


def _limits(root: Path) -> Iterator[Path]:
    """Yields the files that may hold a limit: of the group and of those that it is in, version 2, then version 1."""
    groups = root / "sys/fs/cgroup"
    with suppress(OSError):
        for found in re.findall(r"^0::/(.*)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE):
            own = groups / found
            yield from (folder / "memory.max" for folder in (own, *own.parents) if folder.is_relative_to(groups))
    yield groups / "memory" / "memory.limit_in_bytes"
