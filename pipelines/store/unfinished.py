"""Keeps the parts of interrupted long reads for the next run: one folder for each account, in `unfinished/`.

Nothing of it is loaded directly: a read resumes from it, checks it against the bank, and fills its spool with it. It is removed
when the rows of the account are in raw history, after seven days, and with every erasure or ended login.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.store.atomic_files import replace_text, replacing, sync

UNFINISHED = "unfinished"
LONGEST = timedelta(days=7)
"""The largest age of a read that is resumed."""
_ABOUT = "about.json"


class UnfinishedRead:
    """Implements `sources._protocols.Keeper`: the parts of one account's read, in files that are the owner's alone.

    `basis` is what the account's cursor says before the read. A read that began from another cursor is not resumed: its rows have
    been loaded, or are held for confirmation, which needs an independent read.
    """

    def __init__(self, data_dir: Path, account_id: str, basis: Mapping[str, Any], now: datetime) -> None:
        self._folder = data_dir / UNFINISHED / _name(account_id)
        self._basis = hashlib.sha256(json.dumps(basis, sort_keys=True, default=str).encode()).hexdigest()
        self._now = now
        self._parts = 0
        self._gave_up = False

    def kept(self) -> Iterator[bytes]:
        """Yields the parts; none if they are too old or of another read, and then drops them."""
        try:
            about = json.loads((self._folder / _ABOUT).read_text(encoding="utf-8"))
            age = self._now - datetime.fromisoformat(about["begun_at"])
            usable = about["basis"] == self._basis and abs(age) <= LONGEST
        except (OSError, ValueError, KeyError, TypeError):
            usable = False
        if not usable:
            self.forget()
            return
        while (path := self._part(self._parts + 1)).exists():
            try:
                part = path.read_bytes()
            except OSError:
                break
            self._parts += 1
            yield part

    def keep(self, part: bytes) -> None:
        """Keeps one more part; gives up, and frees the space, when the disk refuses."""
        if self._gave_up:
            return
        try:
            if not (self._folder / _ABOUT).exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_text(self._folder / _ABOUT, json.dumps({"basis": self._basis, "begun_at": self._now.isoformat()}))
            with replacing(self._part(self._parts + 1)) as new:
                with open(new, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                    file.write(part)
                sync(new)
            sync(self._folder)
            self._parts += 1
        except OSError:
            self.forget()
            self._gave_up = True

    def forget(self) -> None:
        """Removes all parts."""
        self._parts = 0
        _remove(self._folder)

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.arrow"


def forget(data_dir: Path, account_ids: Iterable[str | None]) -> None:
    """Removes what was kept of these accounts: their rows are in raw history."""
    for account_id in account_ids:
        if account_id is not None:
            _remove(data_dir / UNFINISHED / _name(account_id))


def forget_all(data_dir: Path) -> None:
    """Removes everything that was kept."""
    shutil.rmtree(data_dir / UNFINISHED, ignore_errors=True)


def forget_old(data_dir: Path, now: datetime) -> None:
    """Removes the reads that cannot be resumed any more, and half-written parts."""
    for folder in _folders(data_dir):
        with suppress(OSError):
            files = list(folder.iterdir())
            for file in files:
                if file.suffix == ".new":
                    file.unlink(missing_ok=True)
            newest = max((file.stat().st_mtime for file in files if file.suffix != ".new"), default=0.0)
            if now.timestamp() - newest > LONGEST.total_seconds():
                _remove(folder)


def _folders(data_dir: Path) -> list[Path]:
    try:
        return sorted(path for path in (data_dir / UNFINISHED).iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other accounts' reads are there, or nothing
        folder.parent.rmdir()


def _name(account_id: str) -> str:
    """Returns the name of an account's folder, which tells nobody which account it is."""
    return hashlib.sha256(account_id.encode()).hexdigest()[:16]
