"""One run at a time per data directory.

The lock is the kernel's (`filelock`), so it dies with its process however that ends. A second file only says who holds it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import Busy, WrongUsage


@contextmanager
def held(data_dir: Path, command: str, patience: float = 0, *, name: str = "run") -> Iterator[None]:
    """Hold `data_dir` while the block runs. Raises `Busy`, which names the holder, when another has it for `patience` seconds.

    `name` is the lock's: those of different names do not meet.
    """
    from filelock import FileLock, Timeout

    prepare(data_dir)
    holder = data_dir / f"{name}.holder.json"
    lock = FileLock(data_dir / f"{name}.lock", timeout=patience, mode=0o600)
    try:
        lock.acquire(poll_interval=0.5)
    except Timeout:
        raise Busy(f"{_told(holder)} holds {data_dir}", "Wait until it has finished, or stop it, then run again") from None
    try:
        about = {"pid": os.getpid(), "command": command, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with suppress(OSError):  # it only tells others; a full disk is told of by what needs the room
            holder.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def prepare(data_dir: Path) -> None:
    """Make the data directory. Raises `WrongUsage` when nothing can be written there."""
    if "?" in str(data_dir):
        raise WrongUsage(f"The data directory {data_dir} has a ? in its path, which DuckDB cannot open", "Choose another path")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WrongUsage(
            f"The data directory {data_dir} cannot be written ({os.strerror(error.errno or 0)})",
            "Give this user the right to write there, or choose another with --data-dir or PIPELINES__DATA_DIR",
        ) from None


def _told(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"Process {about['pid']} ({about['command']}, since {about['since']})"
    except (OSError, ValueError, KeyError):
        return "Another process"
