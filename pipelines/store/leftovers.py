"""What a run that was killed has left in its data directory: half-made files, and the rows that it had read."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.store import unfinished
from pipelines.store.private import EXPORT

WORK, SPILL, TRIAL = ".work", ".spill", ".restore"
PARTS = ".xlsx-"
"""Begins the name of the folder in which the parts of a workbook are written; the process that does so follows."""
_HALF_MADE = re.compile(rf"{re.escape(PARTS)}(\d+)-\w+|.+\.(\d+)\.new(?:\.whole)?")
"""What a `report` or an `export` writes before it has its name; either works beside runs."""
_PREFIX = "kontoledger-"
_FILES = (
    "raw.new.duckdb",
    "raw.new.duckdb.wal",
    "raw.fetched.duckdb",
    "raw.erased.duckdb",
    "raw.erased.duckdb.wal",
    "raw.previous.duckdb.new",  # a second name of raw history, which an erasure has to reach
    "ledger.new.duckdb",
    "ledger.new.duckdb.wal",
    "ledger.build.json.new",
    "report.html.new",
    "run.last.json.new",
    "runs.jsonl.new",
)
_EXPORTED = (".csv", ".parquet", ".xlsx", ".ofx", ".beancount", ".journal", ".sta", ".xml", ".html", ".json")
_PLAIN = re.compile(r"[\w./ -]*")
"""Paths that dlt and DuckDB take as they stand; they read `=`, `*` and `[` as patterns, and trip over quotes and more."""


def fresh_work(data_dir: Path) -> Path:
    """Returns an empty folder for the run's files, the owner's alone. Raises `OSError`.

    A leftover package of dlt's would be loaded instead of new data, so nothing is kept. Where the path of the data directory is
    not plain the folder is a temporary one, and the link `.work` says where: who comes after a killed run finds it.
    """
    work = data_dir / WORK
    remove_work(data_dir)
    if _PLAIN.fullmatch(str(data_dir)):
        work.mkdir(mode=0o700)
        return work
    elsewhere = Path(tempfile.mkdtemp(prefix=_PREFIX))
    work.symlink_to(elsewhere)
    return elsewhere


def remove_work(data_dir: Path) -> None:
    """Removes the folder of a run that is over, wherever it is."""
    work = data_dir / WORK
    if not work.is_symlink():
        shutil.rmtree(work, ignore_errors=True)
        return
    elsewhere = work.readlink()
    with suppress(OSError):
        if elsewhere.name.startswith(_PREFIX) and elsewhere.lstat().st_uid == os.getuid():  # a link may have been forged
            shutil.rmtree(elsewhere, ignore_errors=True)
    with suppress(OSError):
        work.unlink()


def own_spill(data_dir: Path) -> Path:
    """Returns where this process may put what does not fit into memory, beside others that ask at the same time.

    DuckDB makes the folder when it needs one, and removes it; its files have the same names in every process.
    """
    return data_dir / f"{SPILL}-{os.getpid()}"


def remove(data_dir: Path) -> None:
    """Removes everything that a killed run has left, except a read that can be resumed. The caller holds the lock of runs."""
    unfinished.forget_old(data_dir, datetime.now(UTC))
    for path in [*(data_dir / name for name in _FILES), *(data_dir / "receipts").glob("*.new")]:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    remove_work(data_dir)
    for folder in (SPILL, TRIAL):
        shutil.rmtree(data_dir / folder, ignore_errors=True)
    for made in (data_dir, data_dir / EXPORT):
        remove_half_made(made)
    for spill in data_dir.glob(f"{SPILL}-*"):
        if _is_dead(spill.name.removeprefix(f"{SPILL}-")):
            shutil.rmtree(spill, ignore_errors=True)


def remove_half_made(folder: Path) -> None:
    """Removes what a killed `report` or `export` has left in a folder, whoever may be writing there now."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            found = _HALF_MADE.fullmatch(path.name)
            if found is None or not _is_dead(found[1] or found[2]):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def remove_exports(data_dir: Path) -> int:
    """Removes the copies of the ledger that commands have exported into the data directory; returns their number.

    A folder or a file behind a link lies elsewhere, and stays. So does what cannot be removed.
    """
    folder, removed = data_dir / EXPORT, 0
    if folder.is_symlink() or not folder.is_dir():
        return 0
    for path in list(folder.iterdir()):
        if path.suffix in _EXPORTED and path.is_file() and not path.is_symlink():
            with suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _is_dead(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return True
    except OSError:  # another user's
        return False
    return False
