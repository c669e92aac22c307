"""Files that are never written in place: copied or built beside, synced, then renamed over the one that people use."""

import contextlib
import os
import shutil
from pathlib import Path

from pipelines.store.private import share_as_before

FICLONE = 0x40049409


def copy(source: Path, target: Path) -> None:
    """A copy, the owner's alone, that shares the blocks where the file system can and is a plain one where it cannot."""
    with source.open("rb") as reading, open(target, "wb", opener=_private) as writing:
        try:
            import fcntl

            fcntl.ioctl(writing.fileno(), FICLONE, reading.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(reading, writing, 4 * 1024 * 1024)


def publish(new: Path, published: Path, previous: Path | None = None, *, shared: bool = False) -> None:
    """Put `new` where `published` is, in one step; what was there stays as `previous` if that is given.

    `shared`: those who may read what was there may read `new`, from just before it takes that place.

    At no moment is there no `published` file once there was one.
    """
    sync(new)
    if previous is not None and published.exists():
        beside = previous.with_name(previous.name + ".new")
        beside.unlink(missing_ok=True)
        try:
            os.link(published, beside)
        except OSError:
            copy(published, beside)
            sync(beside)
        beside.replace(previous)
    if shared:
        share_as_before(new, published)
    new.replace(published)
    sync(published.parent)


def sync(path: Path) -> None:
    """Have the disk hold `path`, a file or a folder, before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems cannot sync a folder; the rename itself is still atomic there.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def write_private(path: Path, text: str) -> None:
    """Writes a new file that is the owner's alone from its first byte, whatever was there before."""
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
