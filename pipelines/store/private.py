"""What others may read: nothing that is made here but the ledger, its page and a file of metrics, if their owner lets them.

The umask is the one means that holds for every writer (DuckDB, its log and spills, SQLite, Parquet) from a file's first byte.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLOSED = 0o077
OTHERS = stat.S_IRWXG | stat.S_IRWXO
GIVEN = "KONTOLEDGER_UMASK"
"""The umask that the first of our processes was started with, for those that it starts."""
HISTORY = "query.history"
"""What somebody typed at the prompt of `query`: it may hold names, so an erasure removes it."""
EXPORT = "export"
"""The folder of a data directory for the files that `export` and `report` write unless `--out` names another place."""
_LEDGER = "ledger.duckdb"
_KINDS = (".duckdb", ".sqlite", ".json", ".jsonl", ".wal", ".new", ".history")
_given: int | None = None


def close_to_others() -> None:
    """Gives this process, and those that it starts, a umask under which every file is the owner's alone."""
    os.environ.setdefault(GIVEN, f"{os.umask(CLOSED):03o}")


@contextmanager
def closed_to_others() -> Iterator[None]:
    """Closes the process to others while the block runs, for whoever works as a library: the umask is that of all its threads."""
    global _given
    before, outer = os.umask(CLOSED), _given
    _given = before if outer is None else outer
    try:
        yield
    finally:
        _given = outer
        os.umask(before)


def make_folder(path: Path) -> None:
    """Makes a data directory, and what it lies in, as the person's own umask has it; nobody but the owner may write there."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    if (umask := _umask_given()) is not None:
        for folder in missing:
            folder.chmod(0o755 & ~umask)


def share_as_before(new: Path, published: Path) -> None:
    """Gives a new ledger (or metrics) the readers of the old one, a first one those of the person's umask; others never write."""
    with suppress(OSError):
        made = new.stat()
        try:
            before = published.stat()
        except FileNotFoundError:
            umask = _umask_given()
            new.chmod(0o644 & (made.st_mode if umask is None else ~umask))
            return
        mode = before.st_mode & 0o644 | 0o600
        if made.st_gid != before.st_gid:
            try:
                os.chown(new, -1, before.st_gid)
            except OSError:
                mode &= ~stat.S_IRWXG  # they would be another group's rights
        new.chmod(mode)


def open_files(data_dir: Path) -> list[Path]:
    """Returns the files of a data directory that others may read or write although they are none of theirs.

    Not the ledger, which its owner may share, and not `seeds/`, which people edit.
    """
    found = []
    for folder in (data_dir, data_dir / EXPORT, data_dir / "receipts", *data_dir.glob("unfinished/*")):
        with suppress(OSError):
            found += [path for path in sorted(folder.iterdir()) if _is_ours(path, data_dir) and _is_open(path)]
    return found


def close_files(data_dir: Path) -> None:
    """Closes what an earlier version, or a restored backup, left open to others."""
    for path in open_files(data_dir):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)


def rights_of_others(path: Path) -> int:
    """Returns the bits of a file's mode that are its group's and everybody's; 0 when nothing is there."""
    try:
        return path.stat().st_mode & OTHERS
    except OSError:
        return 0


def _is_ours(path: Path, data_dir: Path) -> bool:
    return path.parent != data_dir or (path.suffix in _KINDS and path.name != _LEDGER)


def _is_open(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and rights_of_others(path) != 0


def _umask_given() -> int | None:
    given = os.environ.get(GIVEN, "")
    try:
        return int(given, 8) & 0o777 if given else _given
    except ValueError:
        return CLOSED
