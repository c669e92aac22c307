"""Opens one DuckDB file for a short question."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


NO_BAR = "set enable_progress_bar = false"
"""DuckDB shows how far it is on standard output, after two seconds: in the middle of what `--json` prints."""


@contextmanager
def read_only(path: Path) -> Iterator["DuckDBPyConnection"]:
    """Opens one DuckDB file for a short question. Raises `duckdb.Error` as it is: the caller knows the next step."""
    import duckdb

    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"{NO_BAR}; set temp_directory = ''")  # DuckDB's own lies beside the file, and outlives a kill
        yield connection
