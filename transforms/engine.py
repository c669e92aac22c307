"""DuckDB as the transforms use it: what it reads and writes, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from transforms.errors import (
    CannotWrite,
    LedgerUnreadable,
    ModelError,
    OutOfMemory,
    OutOfSpace,
    RawUnreadable,
    TransformError,
)

BEFORE = "The ledger published before is as it was."


def connect(memory_limit: str = "1GB", temp_directory: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Returns an empty DuckDB in memory that fetches nothing from the network and thinks in UTC.

    Without a `temp_directory` nothing spills: DuckDB's own default would be the folder that the program was started in.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": False,  # every table is sorted by its model; the steps before need less memory so
        "temp_directory": str(temp_directory or ""),
    }
    connection = duckdb.connect(":memory:", config=config)
    # DuckDB draws a bar on standard output, terminal or not, once a query takes two seconds: in the middle of `--json`
    connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    return connection


def attach(connection: duckdb.DuckDBPyConnection, path: Path, name: str, options: str) -> None:
    """Attaches a file as `name`."""
    connection.execute(f"attach {literal(path)} as {name} ({options})")


def literal(value: str | Path) -> str:
    """Returns a text or a path as a literal of SQL, for statements that take no parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def attach_ledger(connection: duckdb.DuckDBPyConnection, ledger: Path) -> None:
    """Attaches a finished ledger for reading. Raises `LedgerUnreadable`."""
    if not ledger.is_file():
        raise LedgerUnreadable(ledger, "there is no such file")
    try:
        attach(connection, ledger, "ledger", "read_only")
    except duckdb.Error as error:
        raise LedgerUnreadable(ledger, _first_line(error)) from None


def spill_beside(path: Path) -> Path:
    """Returns the default folder to spill to: DuckDB makes it when it needs one, and removes it."""
    return path.with_name(f"{path.name}.spill")


@contextmanager
def translated(raw: Path, ledger: Path, what: str) -> Iterator[None]:
    """Turns DuckDB's errors into ours. Its texts may quote values of rows: only those about names and files are kept.

    `what` was being made: a model by its `layer.name`, or a step in plain words.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException) as error:
        if what.startswith("staging."):
            raise RawUnreadable(raw, f"it lacks a table or column that {what} reads") from None
        raise ModelError(f"{what} failed: {_first_line(error)}.") from None
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
        raise _resource_error(raw, ledger, what, _first_line(error)) from None
    except (duckdb.SerializationException, duckdb.InternalException) as error:
        raise RawUnreadable(raw, f"{type(error).__name__} at {what}") from None
    except duckdb.Error as error:
        raise ModelError(
            f"{what} failed with {type(error).__name__}: a value in the raw history does not fit the ledger. Nothing was "
            f"rounded or dropped. {BEFORE} Please report this with the model's name."
        ) from None


def _resource_error(raw: Path, ledger: Path, what: str, text: str) -> TransformError:
    """Returns the error by DuckDB's text, since a commit wraps whatever stopped it."""
    if "No space left" in text:
        return OutOfSpace(f"The disk of {ledger.parent} is full: free some space, then run again. {BEFORE}")
    if "Out of Memory" in text or "failed to allocate" in text or "failed to pin" in text:
        return OutOfMemory(
            f"{what} needs more memory than it may have: raise the memory limit (setting pipelines.memory_mb). {BEFORE}"
        )
    if str(raw) in text or "checksum" in text:  # what is being written has no old checksum to differ from
        return RawUnreadable(raw, text)
    return CannotWrite(f"{ledger}, or what did not fit into memory, cannot be written: {text}. {BEFORE}")


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0].strip().rstrip(".")
