"""Keeps dlt's working folder of each bank's last load, without rows: `dlt pipeline` shows state, schema and trace from it."""

import shutil
from contextlib import suppress
from pathlib import Path

from pipelines.errors import Failure

FOLDER = "dlt"
PIPELINE = "kontoledger"
"""Name of the dlt pipeline that loads a bank. Each bank has a folder of its own for it, `dlt/kontist` and so on."""


def keep(work: Path, data_dir: Path) -> None:
    """Moves what this run's loads have left of dlt into the data directory, in place of what earlier loads left.

    Nothing depends on it: the state that counts is in raw history. So a disk that refuses it is no failure.
    """
    for new in sorted((work / FOLDER).glob("*")):
        with suppress(OSError):
            _make_private(new)
            (data_dir / FOLDER).mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(data_dir / FOLDER / new.name, ignore_errors=True)
            shutil.move(new, data_dir / FOLDER / new.name)


def remove(data_dir: Path) -> None:
    """Removes it: its state names accounts. Raises `Failure` when it cannot be removed."""
    folder = data_dir / FOLDER
    try:
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise Failure(
            f"{folder} names accounts and cannot be removed ({error.strerror})", "Remove it, or correct the permissions"
        ) from None


def _make_private(folder: Path) -> None:
    """Removes the loaded rows, and gives what is left to the owner alone."""
    for jobs in folder.glob("**/completed_jobs/*"):
        jobs.unlink()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
