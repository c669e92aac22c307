"""Opens a copy of raw history, the one file that cannot be fetched again, and publishes it.

A run works on a copy through one open connection and renames it into place at the end. Until then `raw.duckdb` is untouched.
Afterwards the file before is still there as `raw.previous.duckdb`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.errors import RawBroken
from pipelines.store import dlt_folder, leftovers
from pipelines.store.atomic_files import copy, publish
from pipelines.store.losses import Identity, identified, missing_raw, refuse, swapped

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

STORAGE = "v1.0.0"
"""Oldest DuckDB whose clients can open our files."""
MEMORY = "256MiB"
"""DuckDB's, where no caller gives another: the smallest that the settings choose."""


class HistoryKeeper(Protocol):
    """Keeps a raw history that was published elsewhere, too, before what it holds counts as done: a cell of a fleet has one."""

    def keep(self, *, erasing: bool = False) -> None:
        """Keeps it as it is now. `erasing`: nothing older may be found any more."""


class RawCopy:
    """The copy that this run reads from and loads into."""

    def __init__(self, connection: "DuckDBPyConnection", work: Path, identity: Identity) -> None:
        self.connection = connection
        self.work = work
        """A folder for this run's files, empty at its start and gone at its end."""
        self.identity = identity


@contextmanager
def opened(data_dir: Path, *, start_new: bool = False, memory: str = MEMORY) -> Iterator[tuple[RawCopy, "Publisher"]]:
    """Opens a working copy of `raw.duckdb` in `data_dir`, new at the first run; yields it and its publisher.

    Raises `RawBroken`, with the recovery of the file before, when it cannot be opened or there is no space for it; `HistoryLost`
    when there was one and it is missing, or it is that of another data directory, unless a person has said `start_new`.
    """
    import duckdb

    if not start_new:
        refuse(missing_raw(data_dir), swapped(data_dir))
    raw, copied = data_dir / "raw.duckdb", data_dir / "raw.new.duckdb"
    wal = copied.with_name(copied.name + ".wal")
    for leftover in (copied, wal):
        leftover.unlink(missing_ok=True)
    try:
        work = leftovers.fresh_work(data_dir)
    except OSError as error:
        raise broken(raw, error) from None
    try:
        try:
            if raw.exists():
                copy(raw, copied)
            connection = duckdb.connect(copied, config=_config(work, memory))
            copied.chmod(0o600)
            # DuckDB's own bar would stand on standard output, in the middle of `--json`
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            connection.execute("select count(*) from duckdb_tables()")
            identity = identified(connection, data_dir)
        except (duckdb.Error, OSError) as error:
            raise broken(raw, error) from None
        publisher = Publisher(connection, copied, raw, work)
        try:
            yield RawCopy(connection, work, identity), publisher
        except duckdb.Error as error:
            if not _about_the_file(error):
                raise
            raise broken(raw, error) from None
        finally:
            connection.close()
    finally:
        for leftover in (copied, wal):
            leftover.unlink(missing_ok=True)
        leftovers.remove_work(data_dir)


class Publisher:
    """Ends the work on the copy: checkpoint, read through, close, sync, rename."""

    def __init__(self, connection: "DuckDBPyConnection", copied: Path, raw: Path, work: Path) -> None:
        self._connection = connection
        self._copied = copied
        self._raw = raw
        self._work = work

    def __call__(self) -> None:
        """Publishes data and dlt's state together."""
        import duckdb

        try:
            self._connection.execute("checkpoint")
            read_through(self._connection)
            self._connection.close()
            publish(self._copied, self._raw, self._raw.with_name("raw.previous.duckdb"))
        except (duckdb.Error, OSError) as error:
            raise broken(self._raw, error) from None
        dlt_folder.keep(self._work, self._raw.parent)


def read_through(connection: "DuckDBPyConnection") -> None:
    """Raises `duckdb.Error` for a damaged block that nothing has read yet: it must not replace the file before."""
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where not temporary and not ends_with(schema_name, '_staging')"
    ).fetchall()
    for schema, table in tables:
        connection.execute(f'select bit_xor(hash(whole)) from "{schema}"."{table}" as whole').fetchall()


def broken(raw: Path, error: Exception) -> RawBroken:
    """Returns the failure for a raw history that cannot be read or written."""
    if not _damaged(error):
        return RawBroken(
            f"Raw history could not be written beside {raw} ({getattr(error, 'strerror', None) or 'no space or an I/O error'})",
            "Nothing was changed. Make room or correct the permissions, then run again",
        )
    previous = raw.with_name("raw.previous.duckdb")
    way_back = (
        f"The file of the run before is still there: `mv {previous} {raw}`, then run again: the banks are asked for the rest"
        if previous.exists()
        else f"Restore {raw} from a backup, or move it away to start from what the banks still show"
    )
    return RawBroken(f"Raw history in {raw} cannot be read ({error.__class__.__name__})", way_back)


def _about_the_file(error: Exception) -> bool:
    """Returns whether a failure of DuckDB comes from the file or the disk, and not from our query."""
    import duckdb

    return _damaged(error) or isinstance(error, duckdb.IOException | duckdb.FatalException)


def _damaged(error: Exception) -> bool:
    """Returns whether the file's content is damaged. A failed write is no damage: an old file must not replace a good one."""
    import duckdb

    if isinstance(error, duckdb.SerializationException):
        return True
    return isinstance(error, duckdb.Error) and bool(
        re.search(
            "corrupt|not a valid|serializ|could not read|metadata (block|pointer)|failed to scan", str(error), re.IGNORECASE
        )
    )


def _config(work: Path, memory: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "storage_compatibility_version": STORAGE,
        "memory_limit": memory,
        "temp_directory": str(work / "spill"),
        "preserve_insertion_order": False,
    }
