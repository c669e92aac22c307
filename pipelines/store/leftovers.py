"""What a run that was killed has left in its data directory: half-made files, and the rows that it had read."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.store import unfinished

WORK, SPILL, TRIAL = ".work", ".spill", ".restore"
_PREFIX = "kontoledger-"
_FILES = (
    "raw.new.duckdb",
    "raw.new.duckdb.wal",
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
    for page in data_dir.glob("report.html.*.new"):  # a `report` that works beside runs
        if _is_dead(page.name.split(".")[-2]):
            page.unlink(missing_ok=True)
    for spill in data_dir.glob(f"{SPILL}-*"):
        if _is_dead(spill.name.removeprefix(f"{SPILL}-")):
            shutil.rmtree(spill, ignore_errors=True)


def _is_dead(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return True
    except OSError:  # another user's
        return False
    return False
