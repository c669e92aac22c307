"""Where the scenarios of a lake ask questions: as a BI tool does, and in the catalog itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import duckdb
import sqlalchemy as sql

from pipelines.fleet.lake_catalog import Lake

MANY = [f"{number}.10" for number in range(1, 41)]
"""More rows than DuckLake keeps in its catalog: they are in files."""
BY_CELL = "select cell, count(*), sum(amount) from transactions group by cell order by cell"
NUMBERS = count()


@cache
def bi_tool() -> duckdb.DuckDBPyConnection:
    """A DuckDB with extensions and nothing else of ours. To load them costs more than a question."""
    return duckdb.execute("load postgres; load ducklake")


@contextmanager
def attached(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attaches the lake for questions."""
    with bi_tool().cursor() as connection:
        name = f"lake_{next(NUMBERS)}"
        address = lake.for_libpq().replace("'", "''")
        connection.execute(f"attach 'ducklake:postgres:{address}' as {name} (read_only); use {name}")
        try:
            yield connection
        finally:
            connection.execute(f"use memory; detach {name}")


def asked(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    """Asks the lake as a BI tool does."""
    with attached(lake) as connection:
        return connection.execute(query).fetchall()


def from_catalog(lake: Lake, query: str) -> list[Any]:
    engine = sql.create_engine(lake.catalog, poolclass=sql.NullPool)
    with engine.connect() as connection:
        return list(connection.execute(sql.text(query)))
