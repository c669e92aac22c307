"""Keeps the raw histories of cells as objects in a store that several machines reach.

An object is never written twice. Which one counts is the pointer in the vault's table `cells`, changed by `Leases.swap`. An
object that no pointer names was left by a process that died or lost its lease; the next one that changes the pointer removes it.
"""

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure, WrongUsage
from pipelines.fleet.s3_versions import Stored, all_versions, code_of, remove_for_good
from pipelines.store.atomic_files import publish

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

S3 = "s3"
WITHOUT_FOLDERS = {S3, "gs", "abfs"}
"""Kinds of stores whose addresses begin with a bucket and that know no folders."""
RIGHTS = "Erasing needs the rights to list and delete versions of objects and unfinished uploads (docs/fleet.md)"


class StoreBroken(Failure):
    """The store cannot be reached, or an object is missing or damaged."""


class RawStore:
    """Objects under one address, as `fsspec` takes it: `s3://bucket/raw`, `file:///mnt/raw`."""

    def __init__(self, address: str) -> None:
        """Sets up the store. Raises `WrongUsage` for an address whose kind nothing here can open."""
        from fsspec.core import url_to_fs

        try:
            files, root = url_to_fs(address)
        except (ImportError, ValueError):
            raise WrongUsage(
                "The setting fleet.store is no address that can be used here",
                "Write it as fsspec does, e.g. s3://bucket/raw, with its library installed (for S3: pip install '.[fleet]')",
            ) from None
        self._files: AbstractFileSystem = files
        self._root = root.rstrip("/")
        self._kinds = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)

    def put(self, raw: Path, cell: str, version: int) -> tuple[str, str]:
        """Stores a raw history under a new name; returns the name and the SHA-256. Raises `StoreBroken`."""
        name = f"{cell}/{version:08d}-{secrets.token_hex(4)}.duckdb"
        digest = _digest(raw)
        try:
            if not self._kinds & WITHOUT_FOLDERS:  # there it would make a bucket where the setting misspells one
                self._files.makedirs(f"{self._root}/{cell}", exist_ok=True)
            self._files.put_file(str(raw), self._path(name))
            size = self._files.size(self._path(name))
        except Exception as error:  # each kind of store has errors of its own
            raise _broken(error) from None
        if size != raw.stat().st_size:
            raise StoreBroken(f"The store holds {size} bytes of a raw history of {raw.stat().st_size}", "Run again")
        return name, digest

    def fetch(self, name: str, digest: str | None, raw: Path) -> None:
        """Puts an object into place as `raw`. Raises `StoreBroken`, and `raw` is as it was, when it is missing or damaged."""
        fetched = raw.with_name("raw.fetched.duckdb")
        try:
            fetched.unlink(missing_ok=True)
            fetched.touch(mode=0o600)
            try:
                self._files.get_file(self._path(name), str(fetched))
            except Exception as error:  # each kind of store has errors of its own
                raise _broken(error) from None
            _refuse_damaged(fetched, name, digest)
            publish(fetched, raw)
        except OSError as error:
            raise StoreBroken(
                f"Raw history could not be written beside {raw} ({error.strerror})", "Make room, then run again"
            ) from None
        finally:
            fetched.unlink(missing_ok=True)

    def names(self, cell: str) -> list[str]:
        """Returns the objects of a cell, sorted."""
        try:
            self._files.invalidate_cache()
            found = self._files.ls(f"{self._root}/{cell}", detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # each kind of store has errors of its own
            raise _broken(error) from None
        return sorted(f"{cell}/{str(one).rstrip('/').rpartition('/')[2]}" for one in found)

    def stored(self, cell: str, *, for_good: bool = False) -> list[Stored]:
        """Returns what can be removed of a cell: its objects; `for_good` also versions of them and unfinished uploads, at S3."""
        found: list[Stored] = []
        try:
            if for_good and S3 in self._kinds:
                found += all_versions(self._files, self._root, cell)
        except Exception as error:  # the library raises errors of several kinds
            raise _broken(error, f"{RIGHTS}. ") from None
        versions = {one.name for one in found if one.version is not None}
        return [*found, *(Stored(name) for name in self.names(cell) if name not in versions)]

    def remove(self, one: Stored) -> None:
        """Removes it; what is gone already is fine."""
        is_object = one.version is None and one.upload is None
        try:
            if is_object:
                self._files.rm_file(self._path(one.name))
            else:
                remove_for_good(self._files, self._root, one)
        except FileNotFoundError:
            pass
        except Exception as error:  # each kind of store has errors of its own
            raise _broken(error, "" if is_object else f"{RIGHTS}. ") from None

    def discard(self, name: str) -> None:
        """Removes an object that nothing names, first so that no reader finds it, then its versions."""
        self.remove(Stored(name))
        for one in self.stored(name.partition("/")[0], for_good=True):
            if one.name == name:
                self.remove(one)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _refuse_damaged(fetched: Path, name: str, digest: str | None) -> None:
    if _digest(fetched) != digest:
        raise StoreBroken(
            f"The object {name} in the store is not as it was stored (its SHA-256 differs)",
            "Restore it from a backup of the store; nothing was read or changed",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken(error: Any, needed: str = "") -> StoreBroken:
    # the text of an error may hold an address with a key; a server's code, and what the system calls its number, do not
    number = error.errno if isinstance(error, OSError) else None
    code = code_of(error) or (os.strerror(number) if number else None)
    return StoreBroken(
        f"The store of raw histories cannot be used ({type(error).__name__}{f': {code}' if code else ''})",
        f"{needed}Check that it is there, that this machine reaches it, and its credentials. Then run again: nothing is lost",
    )
