"""The only meeting of dlt and our raw history: what was settled goes in, with the cursors that belong to it.

dlt works on the run's own copy through the held connection. Its working folder is new at every run; all that it remembers is in
the file itself, so data and cursors are renamed into place together.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.errors import RawBroken
from pipelines.history import History
from sources._resources import HELPER_TABLES, MOVED_ROWS, READ_WINDOWS, Batches

if TYPE_CHECKING:
    from dlt.extract import DltSource

# Before dlt is imported: nothing is sent anywhere, and only what fails is said.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")


@dataclass
class Package:
    """What one bank's run puts into raw history."""

    dataset: str
    batches: dict[str, Batches] = field(default_factory=dict)
    windows: list[tuple[str, str, date | None]] = field(default_factory=list)
    """`(table, account or consent, since)`: inside it, what is not in `batches` is retired."""
    moved: list[str] = field(default_factory=list)
    cursors: dict[str, Any] = field(default_factory=dict)


def prepared(history: History, dataset: str) -> bool:
    """Whether raw history has this bank's tables. Makes the small ones that windows are written to."""
    history.connection.execute(f"create schema if not exists {dataset}")
    history.connection.execute(HELPER_TABLES.format(dataset=dataset))
    known = history.connection.execute(
        "select count(*) from duckdb_tables() where schema_name = ? and table_name = 'imports'", [dataset]
    ).fetchone()
    return known != (0,)


def cursors(history: History, dataset: str) -> dict[str, Any]:
    """The cursors that the last load left in dlt's state; empty before the first."""
    from dlt.common.versioned_state import decompress_state

    row = history.connection.execute(
        f"select state from {dataset}._dlt_pipeline_state where pipeline_name = ? order by version desc, created_at desc limit 1",
        [dataset],
    ).fetchone()
    if row is None:
        return {}
    state = decompress_state(row[0])
    found = state.get("sources", {}).get(dataset, {})
    return dict(found)


def load(history: History, package: Package) -> None:
    """Load one bank's package. Raises `RawBroken` when dlt or the disk refuses; the published file is untouched then."""
    import dlt
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.pipeline.exceptions import PipelineStepFailed

    connection = history.connection
    known = prepared(history, package.dataset)
    connection.execute(f"delete from {package.dataset}.{READ_WINDOWS}")
    connection.execute(f"delete from {package.dataset}.{MOVED_ROWS}")
    _insert(connection, f"{package.dataset}.{READ_WINDOWS}", package.windows)
    _insert(connection, f"{package.dataset}.{MOVED_ROWS}", [(row,) for row in package.moved])
    try:
        pipeline = dlt.pipeline(
            pipeline_name=package.dataset,
            pipelines_dir=str(history.work / "dlt"),
            destination=dlt.destinations.duckdb(connection),
            dataset_name=package.dataset,
        )
        pipeline.sync_destination()
        pipeline.extract(_source(package, all_tables=not known), loader_file_format="parquet")
        pipeline.normalize()
        pipeline.load(raise_on_failed_jobs=True)
    except PipelineStepFailed as error:
        # dlt's text may quote rows and SQL: only where and what kind is repeated.
        cause = error.exception
        raise RawBroken(
            f"Loading {package.dataset} into raw history failed while dlt did '{error.step}' ({type(cause).__name__})",
            "Nothing was changed. If the disk is not full and this happens again, report it with these two names",
        ) from None
    except ConfigurationException as error:
        raise RawBroken(f"dlt refuses its configuration ({type(error).__name__})", "Check .dlt/config.toml") from None


def _source(package: Package, *, all_tables: bool) -> "DltSource":
    if package.dataset == "kontist":
        from sources.kontist import kontist

        return kontist(package.batches, package.cursors, all_tables=all_tables)
    from sources.kontomatik import kontomatik

    return kontomatik(package.batches, package.cursors, all_tables=all_tables)


def _insert(connection: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if given := list(rows):
        connection.executemany(f"insert into {table} values ({', '.join('?' * len(given[0]))})", given)


def batches_of(rows: list[dict[str, Any]], schema: pa.Schema) -> Batches:
    """A small table's rows as one batch."""
    return lambda: [pa.RecordBatch.from_pylist(rows, schema=schema)] if rows else []
