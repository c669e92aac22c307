"""How both banks' tables reach dlt: declared columns, windows, history.

A versioned table is merged with dlt's `scd2` strategy: a row that the bank no longer shows, or shows otherwise, is retired, and
its old version stays. What may be retired is limited to the windows of the accounts that were read in full in this run:
`read_windows` and `moved_rows`, two small tables beside the data, written before the load, so that dlt's schema never changes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from sources._columns import dlt_columns

Batches = Callable[[], Iterable[pa.RecordBatch]]
"""Yields a table's rows, exactly in its declared columns."""

READ_WINDOWS = "read_windows"
MOVED_ROWS = "moved_rows"
HELPER_TABLES = f"""
create table if not exists {{dataset}}.{READ_WINDOWS} (table_name varchar, scope_id varchar, since date);
create table if not exists {{dataset}}.{MOVED_ROWS} (transaction_id varchar);
"""
"""`since` null: every row of the scope."""


def resource(dataset: str, name: str, schema: pa.Schema, batches: Batches) -> DltResource:
    """One raw table of `dataset`. The table exists even when the bank has no rows for it."""

    def rows() -> Iterator[Any]:
        # dlt makes the table from this even if no row follows; its own mark for that fails on columns that are never null
        yield schema.empty_table()
        yield from batches()

    return dlt.resource(rows, name=name, columns=dlt_columns(schema), write_disposition=_disposition(dataset, name, schema))


def resources(
    dataset: str, tables: Mapping[str, pa.Schema], settled: Mapping[str, Batches], cursors: Mapping[str, Any], *, all_tables: bool
) -> Iterator[DltResource]:
    """The tables of `dataset` that `settled` fills, or with `all_tables` every one, and its cursors."""
    for name, schema in tables.items():
        if all_tables or name in settled:
            yield resource(dataset, name, schema, settled.get(name, tuple))
    yield state_of(cursors)


def state_of(cursors: Mapping[str, Any]) -> DltResource:
    """A resource without rows that moves the cursors into dlt's state: they are loaded with the data, or not at all."""

    def move() -> Iterator[Any]:
        dlt.current.source_state().update(cursors)
        yield from ()

    return dlt.resource(move, name="cursors")


def _disposition(dataset: str, name: str, schema: pa.Schema) -> Any:
    if "row_version" not in schema.names:
        return "append" if name == "imports" else "replace"
    return {
        "disposition": "merge",
        "strategy": "scd2",
        "row_version_column_name": "row_version",
        "destination_scope": _scope(dataset, name, schema),
    }


def _scope(dataset: str, name: str, schema: pa.Schema) -> str:
    """SQL for the known rows that this load may retire."""
    owner = "account_id" if "account_id" in schema.names else "consent_id"
    inside = f"w.table_name = '{name}' AND w.scope_id = {{table}}.{owner}"
    if "window_on" in schema.names:
        inside += " AND (w.since IS NULL OR {table}.window_on IS NULL OR {table}.window_on >= w.since)"
    scope = f"EXISTS (SELECT 1 FROM {dataset}.{READ_WINDOWS} AS w WHERE {inside})"
    if "transaction_id" in schema.names:
        scope += f" OR {{table}}.transaction_id IN (SELECT transaction_id FROM {dataset}.{MOVED_ROWS})"
    return f"({scope})"
