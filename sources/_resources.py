"""How the banks' tables reach dlt: declared columns, windows, history.

A versioned table is merged with dlt's `scd2` strategy: a row that the bank no longer shows, or shows otherwise, is retired, and
its old version stays. `sources/_merge_scopes.py` limits what may be retired.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource, DltSource

from sources._columns import dlt_columns
from sources._merge_scopes import is_versioned, scope

Batches = Callable[[], Iterable[pa.RecordBatch]]
"""Yields a table's rows, exactly in its declared columns."""


def source(
    dataset: str, tables: Mapping[str, pa.Schema], settled: Mapping[str, Batches], cursors: Mapping[str, Any], *, all_tables: bool
) -> DltSource:
    """Returns the dlt source of one bank, with the tables that `settled` fills; the others stay as they are.

    With `all_tables` those without rows are made too. `cursors` are moved in dlt's state with this very load.
    """
    of_bank = dlt.source(resources, name=dataset, max_table_nesting=0)
    return of_bank(dataset, tables, settled, cursors, all_tables=all_tables)


def resources(
    dataset: str, tables: Mapping[str, pa.Schema], settled: Mapping[str, Batches], cursors: Mapping[str, Any], *, all_tables: bool
) -> Iterator[DltResource]:
    """Returns the versioned tables of `dataset` that `settled` fills, or with `all_tables` every one, and its cursors."""
    for name, schema in tables.items():
        if is_versioned(schema) and (all_tables or name in settled):
            yield resource(dataset, name, schema, settled.get(name, tuple))
    yield state_of(cursors)


def resource(dataset: str, name: str, schema: pa.Schema, batches: Batches) -> DltResource:
    """Returns one raw table of `dataset`. The table exists even when the bank has no rows for it."""

    def rows() -> Iterator[Any]:
        # dlt makes the table from this even if no row follows; its own mark for that fails on columns that are never null
        yield schema.empty_table()
        yield from batches()

    disposition: Any = {
        "disposition": "merge",
        "strategy": "scd2",
        "row_version_column_name": "row_version",
        "destination_scope": scope(dataset, name, schema),
    }
    return dlt.resource(rows, name=name, columns=dlt_columns(schema), write_disposition=disposition)


def state_of(cursors: Mapping[str, Any]) -> DltResource:
    """Returns a resource without rows that moves the cursors into dlt's state: they are loaded with the data, or not at all."""

    def move() -> Iterator[Any]:
        dlt.current.source_state().update(cursors)
        yield from ()

    return dlt.resource(move, name="cursors")
