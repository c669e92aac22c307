"""Limits the commands at once at Kontomatik, over all processes that share a data directory.

Kontomatik lets one client have eight commands in process and rejects the ninth (vendor). A slot is a file lock, so that a
process that dies gives its slots back. A vault in PostgreSQL has slots of its own (`shared_slots.py`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def slot(data_dir: Path, slots: int, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Holds one of the slots while the block runs; waits until one is free."""
    from filelock import Timeout

    from pipelines.store.lock import taken

    folder = data_dir / "commands"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for number in range(max(1, slots)):
            try:
                lock = taken(folder / f"slot-{number}.lock", patience=0)
            except Timeout:
                continue
            try:
                yield number
            finally:
                lock.release()
            return
        sleep(0.25)
