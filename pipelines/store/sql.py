"""Helps with SQL: values as literals, rows by name, moments as text."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Rows = list[dict[str, Any]]
AT_ONCE = 10_000


def literal(value: str | Path | None) -> str:
    """Returns a text or a path as a literal, for statements that take no parameters."""
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def rows_of(connection: "DuckDBPyConnection", query: str, parameters: Any = None) -> Rows:
    """Returns a query's rows by name."""
    return list(each_row(connection, query, parameters))


def each_row(connection: "DuckDBPyConnection", query: str, parameters: Any = None) -> Iterator[dict[str, Any]]:
    """Yields a query's rows by name; `connection` is busy with them until the last one."""
    cursor = connection.execute(query, parameters)
    names = [column[0] for column in cursor.description or []]
    while rows := cursor.fetchmany(AT_ONCE):
        for row in rows:
            yield dict(zip(names, row, strict=True))


def as_text(moment: datetime) -> str:
    """Returns a moment as UTC text of one fixed form, so that texts compare as times do, in any database."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
