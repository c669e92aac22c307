"""Replaces files in one step: a new file is written beside the published one, synced, and renamed over it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipelines.store.private import share_as_before

FICLONE = 0x40049409


def copy(source: Path, target: Path) -> None:
    """Copies a file for the owner alone; shares its blocks where the file system can."""
    with source.open("rb") as reading, open(target, "wb", opener=_private) as writing:
        try:
            import fcntl

            fcntl.ioctl(writing.fileno(), FICLONE, reading.fileno())
        except (ImportError, OSError):
            shutil.copyfileobj(reading, writing, 4 * 1024 * 1024)


def publish(new: Path, published: Path, previous: Path | None = None, *, shared: bool = False) -> None:
    """Renames `new` over `published`, in one step; the file before stays as `previous` if that is given.

    `shared`: whoever may read the file before may read `new`, from just before the rename on.

    Once there is a `published` file, there is one at every moment.
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
    """Waits until the disk holds `path`, a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some file systems cannot sync a folder; the rename itself is still atomic there.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path, *, of: str = "") -> Iterator[Path]:
    """Yields the path of a new file beside `path`, and renames it over `path` when the block has ended well.

    `of` tells the new file from that of another process which may write the same one at the same time.
    """
    new = path.with_name(f"{path.name}{of}.new")
    try:
        yield new
        new.replace(path)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def replace_text(path: Path, text: str, *, keep_rights: bool = False) -> None:
    """Replaces a text file that is the owner's alone, in one step; the disk holds it before this returns.

    With `keep_rights`, whoever may read or write the file before may do so after.
    """
    with replacing(path) as new:
        write_private(new, text)
        if keep_rights and path.exists():
            shutil.copymode(path, new)
        sync(new)
    sync(path.parent)


def write_private(path: Path, text: str) -> None:
    """Writes a new file that is the owner's alone from its first byte, whatever was there before."""
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
