"""The raw history as the models see it: the file, completed by the tables and columns that its version did not have yet.

A file that lacks nothing is `raw` itself. One that lacks something of `later.toml` is attached as `raw_file`, and then `raw` is
a catalog in memory with a view of each of its tables and what is missing, empty. Nothing else is made up: any other table or
column that is missing stops the build.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import duckdb

from transforms.engine import attach, translated
from transforms.errors import RawUnreadable

LATER = Path(__file__).with_name("later.toml")
FILE = "raw_file"


@cache
def later() -> Mapping[str, Mapping[str, str]]:
    """Returns `later.toml`: by raw table, its later columns and their types."""
    return tomllib.loads(LATER.read_text(encoding="utf-8"))


def attach_raw(connection: duckdb.DuckDBPyConnection, raw: Path) -> None:
    """Attaches the raw history for reading. Raises `RawUnreadable`."""
    if not raw.is_file():
        raise RawUnreadable(raw, "there is no such file")
    try:
        attach(connection, raw, "raw", "read_only")
    except duckdb.Error as error:
        raise RawUnreadable(raw, str(error).partition("\n")[0].strip().rstrip(".")) from None
    with translated(raw, raw, "opening the raw history"):
        found: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select concat(schema_name, '.', table_name), column_name from duckdb_columns()"
            " where database_name = 'raw' and not starts_with(table_name, '_dlt')"
        ).fetchall():
            found.setdefault(table, []).append(column)
        if all(columns.keys() <= set(found.get(table, ())) for table, columns in later().items()):
            return
        connection.execute("detach raw")
        attach(connection, raw, FILE, "read_only")
        connection.execute("attach ':memory:' as raw")
        connection.execute(";\n".join(_statements(found)))


def _statements(found: Mapping[str, list[str]]) -> list[str]:
    tables = sorted({*found, *later()})
    schemas = sorted({table.partition(".")[0] for table in tables})
    return [f'create schema raw."{schema}"' for schema in schemas] + [
        f"create view raw.{_quoted(table)} as {_select(table, found.get(table))}" for table in tables
    ]


def _select(table: str, columns: list[str] | None) -> str:
    added = ", ".join(
        f"cast(null as {kind}) as {name}" for name, kind in later().get(table, {}).items() if name not in (columns or ())
    )
    if columns is None:
        return f"select {added} where false"
    return f"select *{', ' if added else ''}{added} from {FILE}.{_quoted(table)}"


def _quoted(table: str) -> str:
    schema, _, name = table.partition(".")
    return f'"{schema}"."{name}"'
