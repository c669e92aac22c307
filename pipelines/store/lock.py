"""One run at a time per data directory.

The lock is the kernel's (`filelock`), so it dies with its process however that ends. A second file only says who holds it.
"""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Busy, Failure, WrongUsage
from pipelines.store import leftovers
from pipelines.store.private import close_files, closed_to_others, make_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""What the kernel says of a lock that another process has. Anything else it says of a file system that has none."""


class NoLocks(WrongUsage):
    """The file system cannot lock files: two runs would not see each other."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"The file system of {folder} cannot lock files ({os.strerror(error.errno or 0)})",
            "Keep the data directory on a local disk, or mount the share with locks, or choose another with --data-dir or"
            " PIPELINES__DATA_DIR",
        )


@contextmanager
def held(data_dir: Path, command: str, patience: float = 0, *, name: str = "run") -> Iterator[None]:
    """Holds `data_dir`, closed to others, and removes what a killed run has left there.

    Raises `Busy`, which names the holder, when another has it for `patience` seconds. `name` is the lock's: those of different
    names do not meet.
    """
    from filelock import Timeout

    with closed_to_others():
        prepare(data_dir)
        holder = data_dir / f"{name}.holder.json"
        try:
            lock = taken(data_dir / f"{name}.lock", patience, poll=0.5)
        except Timeout:
            raise Busy(
                f"{_holder_of(holder)} holds {data_dir}", "Wait until it has finished, or stop it, then run again"
            ) from None
        except OSError as error:
            raise WrongUsage(
                f"{data_dir / f'{name}.lock'} cannot be locked ({os.strerror(error.errno or 0)})",
                "Run as the user that the data directory belongs to, and give that user every file in it",
            ) from None
        try:
            about = {"pid": os.getpid(), "command": command, "since": datetime.now(UTC).isoformat(timespec="seconds")}
            with suppress(OSError):  # it only informs others; a full disk is reported by what needs the room
                holder.write_text(json.dumps(about), encoding="utf-8")
            if name == "run":
                leftovers.remove(data_dir)
                close_files(data_dir)
            yield
        finally:
            with suppress(OSError):
                holder.unlink(missing_ok=True)
            lock.release()


def taken(path: Path, patience: float = -1, *, poll: float = 0.05) -> "BaseFileLock":
    """Returns a lock that this process has, waited for `patience` seconds; -1: for as long as it takes.

    Raises filelock's `Timeout` when another process has it that long, and `NoLocks` where there are none: filelock itself takes
    an error for a lock that is held, and waits, or falls back to a file that outlives its process.
    """
    from filelock import FileLock

    try_locks(path.parent)
    lock = FileLock(path, timeout=patience, mode=0o600)
    lock.acquire(poll_interval=poll)
    return lock


@contextmanager
def locked(path: Path, patience: float = -1) -> Iterator[None]:
    """Holds a lock. Raises as `taken` does."""
    lock = taken(path, patience)
    try:
        yield
    finally:
        lock.release()


def prepare(data_dir: Path) -> None:
    """Makes the data directory. Raises `WrongUsage` when nothing can be written there, `NoLocks` when nothing can be locked."""
    refuse_odd_path(data_dir)
    try:
        make_folder(data_dir)
        try_locks(data_dir)
    except OSError as error:
        raise WrongUsage(
            f"The data directory {data_dir} cannot be written ({os.strerror(error.errno or 0)})",
            "Give this user the right to write there, or choose another with --data-dir or PIPELINES__DATA_DIR",
        ) from None


def refuse_odd_path(folder: Path, what: str = "data directory") -> None:
    """Raises `WrongUsage` for signs that DuckDB does not take as they stand: it would open another folder, or none."""
    for sign in "?" if os.sep == "\\" else "?\\":
        if sign in str(folder.absolute()):
            raise WrongUsage(f"The {what} {folder} has a {sign} in its path, which DuckDB cannot open", "Choose another path")


def refuse_closed(folder: Path) -> None:
    """Raises `Failure` for a data directory that this user may not open."""
    try:
        (folder / "ledger.duckdb").stat()
    except PermissionError:
        raise Failure(
            f"This user may not open the data directory {folder}",
            "Give the command as the user who runs it, or let that user permit it (x for directories, r for the ledger)",
        ) from None
    except OSError:
        pass  # it is not there, which others report


def try_locks(folder: Path) -> None:
    """Locks a file of its own in `folder`. Raises `OSError` when none can be made there, `NoLocks` when it cannot be locked."""
    try:
        import fcntl
    except ImportError:  # Windows locks in another way, and everywhere
        return
    with tempfile.TemporaryFile(dir=folder, prefix=".lockable-") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # SQLite's and DuckDB's kind
        except OSError as error:
            if error.errno not in HELD:
                raise NoLocks(folder, error) from None


def _holder_of(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"Process {about['pid']} ({about['command']}, since {about['since']})"
    except (OSError, ValueError, KeyError):
        return "Another process"
