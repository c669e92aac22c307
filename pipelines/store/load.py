"""Loads a bank's changeset and its cursors into raw history. No other module uses dlt.

dlt works on the run's own copy through its open connection. Its working folder is new at every run. Its state is in the file
itself, so data and cursors are renamed into place together.

dlt loads the banks' data. Our own records (attempts, consents, gaps) are written into the same copy by plain SQL. So a run
without news needs no dlt at all, whose import and load cost more than the rest of such a run.
"""

import base64
import json
import os
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.errors import RawBroken
from pipelines.store.banks import BANKS
from pipelines.store.dlt_folder import FOLDER, PIPELINE
from pipelines.store.files import FILE
from pipelines.store.raw_copy import RawCopy
from sources._merge_scopes import HELPER_TABLES, MOVED_ROWS, READ_WINDOWS, is_versioned, scope
from sources.files.columns import TABLES as FILE_TABLES
from sources.kontist.columns import LATER, LATER_OF_ACCOUNTS

if TYPE_CHECKING:
    from dlt.extract import DltSource

Batches = Callable[[], Iterable[pa.RecordBatch]]
TABLES: Mapping[str, Mapping[str, pa.Schema]] = {bank.name: bank.tables for bank in BANKS} | {FILE: FILE_TABLES}
APPENDED = frozenset({"imports"})
"""Tables of our own records that grow; the others are rewritten."""
REWRITTEN_BY_ACCOUNT = frozenset({"read_days"})
"""Of these, only the accounts that are given."""

LATER_COLUMNS: Mapping[str, Collection[str]] = {
    "file.accounts": ("same_as",),
    "kontist.accounts": LATER_OF_ACCOUNTS,
    "kontist.imports": ("as_of",),
    "kontist.transactions": LATER,
    "kontomatik.imports": ("as_of",),
}
"""Columns that tables did not have in earlier versions (`transforms/later.toml`). What dlt finds in a table, it does not add."""

# Before dlt is imported: nothing is sent anywhere, and only what fails is said.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")


@dataclass
class Changeset:
    """The changes that one bank's run makes in raw history."""

    dataset: str
    batches: dict[str, Batches] = field(default_factory=dict)
    windows: list[tuple[str, str, date | None]] = field(default_factory=list)
    """`(table, account or consent, since)`: inside the window, a row that is not in `batches` is retired."""
    moved: list[str] = field(default_factory=list)
    cursors: dict[str, Any] = field(default_factory=dict)


def was_loaded(history: RawCopy, dataset: str) -> bool:
    """Returns whether dlt has loaded this bank before: then its state is there."""
    known = history.connection.execute(
        "select count(*) from duckdb_tables() where schema_name = ? and table_name = '_dlt_pipeline_state'", [dataset]
    ).fetchone()
    return known != (0,)


def create_tables(history: RawCopy) -> None:
    """Creates every table of banks and imported files that raw history lacks, and columns that an earlier version did not have.

    The versioned tables are those that dlt's first load would make, which takes them for its own. So no bank
    needs an empty load for that alone.
    """
    for dataset in TABLES:
        _create_tables(history, dataset)


def _create_tables(history: RawCopy, dataset: str) -> None:
    history.connection.execute(f"create schema if not exists {dataset}")
    if dataset != FILE:  # of dlt's merge; files are stored by plain SQL
        history.connection.execute(HELPER_TABLES.format(dataset=dataset))
    for name, schema in TABLES[dataset].items():
        if is_versioned(schema):
            needed = {field.name: "" if field.nullable else " not null" for field in schema}
            columns = [f'"{field.name}" {_sql_type(field.type)}{needed[field.name]}' for field in schema]
            columns += ["_dlt_valid_from timestamptz", "_dlt_valid_to timestamptz"]
        else:
            columns = [f"{field.name} {_sql_type(field.type)}" for field in schema]
        history.connection.execute(f"create table if not exists {dataset}.{name} ({', '.join(columns)})")
        for column in LATER_COLUMNS.get(f"{dataset}.{name}", ()):
            kind = _sql_type(schema.field(column).type)
            history.connection.execute(f"alter table {dataset}.{name} add column if not exists {column} {kind}")


def cursors(history: RawCopy, dataset: str) -> dict[str, Any]:
    """Returns the cursors that the last load left in dlt's state; empty before the first load.

    dlt's own decoder would cost its import. A test holds that both read the same. In earlier versions the pipeline had the
    bank's name.
    """
    if not was_loaded(history, dataset):
        return {}
    rows = history.connection.execute(
        f"select state from {dataset}._dlt_pipeline_state where pipeline_name in ($1, $2)"
        " order by pipeline_name = $1 desc, version desc, created_at desc limit 1",
        [PIPELINE, dataset],
    ).fetchall()
    if not rows:
        return {}
    state = json.loads(zlib.decompress(base64.b64decode(rows[0][0])))
    return dict(state.get("sources", {}).get(dataset, {}))


def load(history: RawCopy, changeset: Changeset) -> None:
    """Loads one bank's changeset. Raises `RawBroken` when dlt or the disk refuses; the published file is untouched then."""
    dataset, connection = changeset.dataset, history.connection
    _create_tables(history, dataset)
    known = was_loaded(history, dataset)
    connection.execute(f"delete from {dataset}.{READ_WINDOWS}")
    connection.execute(f"delete from {dataset}.{MOVED_ROWS}")
    _insert(connection, f"{dataset}.{READ_WINDOWS}", changeset.windows)
    _insert(connection, f"{dataset}.{MOVED_ROWS}", [(row,) for row in changeset.moved])
    of_bank: dict[str, Batches] = {}
    ours: dict[str, Batches] = {}
    for name, batches in changeset.batches.items():
        schema = TABLES[dataset][name]
        if not is_versioned(schema):
            ours[name] = batches
        elif not known or name == "transactions" or _differs(history, dataset, name, schema, batches):
            of_bank[name] = batches
    if of_bank or not known or changeset.cursors != cursors(history, dataset):
        if known:
            _refuse_a_clock_that_went_back(history, dataset)
        _load_by_dlt(history, dataset, lambda: _source(dataset, of_bank, changeset.cursors, all_tables=not known))
    for name, batches in ours.items():
        _keep(history, dataset, name, TABLES[dataset][name], batches)


def load_rates(history: RawCopy, rates: pa.Table) -> None:
    """Loads reference rates; a rate of the same currency and day is replaced. Raises `RawBroken`."""

    def source() -> "DltSource":
        from sources.rates.source import rates as of_rates

        return of_rates(rates)

    _load_by_dlt(history, "rates", source)


def _refuse_a_clock_that_went_back(history: RawCopy, dataset: str) -> None:
    """Raises `RawBroken` when the clock is behind the last load: a version that ends before it begins would spoil history."""
    versioned = [name for name, schema in TABLES[dataset].items() if is_versioned(schema)]
    each = (f"select max(greatest(_dlt_valid_from, _dlt_valid_to)) as latest from {dataset}.{name}" for name in versioned)
    ((latest,),) = history.connection.execute(f"select max(latest) from ({' union all '.join(each)})").fetchall()
    if latest is not None and latest >= datetime.now(UTC):
        raise RawBroken(
            f"This machine's clock is behind the last load, of {latest:%Y-%m-%d %H:%M:%S} UTC",
            "Nothing was changed. Set the clock, then run again",
        )


def _load_by_dlt(history: RawCopy, dataset: str, source: "Callable[[], DltSource]") -> None:
    _spare_sqlalchemy()
    import dlt
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.pipeline.exceptions import PipelineStepFailed

    try:
        pipeline = dlt.pipeline(
            pipeline_name=PIPELINE,
            pipelines_dir=str(history.work / FOLDER / dataset),
            destination=_looking_up_once(dlt.destinations.duckdb(history.connection)),
            dataset_name=dataset,
        )
        pipeline.runtime_config.intercept_signals = False  # dlt forgets one that comes while it ends a step
        pipeline.sync_destination()
        pipeline.extract(source(), loader_file_format="parquet")
        pipeline.normalize()
        pipeline.load(raise_on_failed_jobs=True)
    except PipelineStepFailed as error:
        # dlt's text may quote rows and SQL: only where and what kind is repeated.
        cause = error.exception
        if isinstance(cause, KeyboardInterrupt):  # dlt takes an interruption for a failure of its step
            raise KeyboardInterrupt from None
        raise RawBroken(
            f"Loading {dataset} into raw history failed while dlt did '{error.step}' ({type(cause).__name__})",
            "Nothing was changed. If the disk is not full and this happens again, report it with these two names",
        ) from None
    except ConfigurationException as error:
        raise RawBroken(f"dlt refuses its configuration ({type(error).__name__})", "Check .dlt/config.toml") from None


def _spare_sqlalchemy() -> None:
    """Has dlt use its own stand-in for a URL of SQLAlchemy, unless that is imported anyway: it costs 0.2 s of a load."""
    compat, shims = "dlt.common.libs.sql_alchemy_compat", "dlt.common.libs.sql_alchemy_shims"
    if "sqlalchemy" not in sys.modules and compat not in sys.modules:
        with suppress(ImportError):
            sys.modules[compat] = import_module(shims)


def _looking_up_once(destination: Any) -> Any:
    """Caches the destination's settings: dlt asks for them some thirty times a load, and looks all of them up each time."""
    look_up = destination.configuration
    found: dict[tuple[type, str, bool], Any] = {}

    def configuration(initial: Any, accept_partial: bool = False) -> Any:
        asked = (type(initial), repr(initial), accept_partial)
        if asked not in found:
            found[asked] = look_up(initial, accept_partial)
        return found[asked]

    destination.configuration = configuration
    return destination


def _source(dataset: str, of_bank: Mapping[str, Batches], moved_cursors: Mapping[str, Any], *, all_tables: bool) -> "DltSource":
    from sources._resources import source

    return source(dataset, TABLES[dataset], of_bank, moved_cursors, all_tables=all_tables)


def _differs(history: RawCopy, dataset: str, name: str, schema: pa.Schema, batches: Batches) -> bool:
    """Returns whether loading these rows would add or retire any version."""
    shown_now = pa.Table.from_batches(batches(), schema=schema)  # noqa: F841  # read by its name in the query
    known = f"select row_version from {dataset}.{name} as known where _dlt_valid_to is null"
    rows = history.connection.execute(
        f"""
        select count(*) from (
            (select row_version from shown_now except {known})
            union all
            ({known} and {scope(dataset, name, schema).format(table="known")} except select row_version from shown_now)
        )
        """
    ).fetchall()
    return bool(rows != [(0,)])


def _keep(history: RawCopy, dataset: str, name: str, schema: pa.Schema, batches: Batches) -> None:
    """Writes a table of our own records."""
    kept_now = pa.Table.from_batches(batches(), schema=schema)  # noqa: F841  # read by its name in the query
    if name in REWRITTEN_BY_ACCOUNT:
        history.connection.execute(f"delete from {dataset}.{name} where account_id in (select account_id from kept_now)")
    elif name not in APPENDED:
        history.connection.execute(f"delete from {dataset}.{name}")
    history.connection.execute(f"insert into {dataset}.{name} by name select * from kept_now")


def _insert(connection: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Inserts many rows per statement: one each would cost more than everything else that a run without news writes."""
    given = list(rows)
    for start in range(0, len(given), 1000):
        part = given[start : start + 1000]
        places = ", ".join(f"({', '.join('?' * len(row))})" for row in part)
        connection.execute(f"insert into {table} values {places}", [value for row in part for value in row])


def batches_of(rows: list[dict[str, Any]], schema: pa.Schema) -> Batches:
    """Returns a small table's rows as one batch."""
    return lambda: [pa.RecordBatch.from_pylist(rows, schema=schema)] if rows else []


def _sql_type(kind: pa.DataType) -> str:
    names = {
        "string": "varchar",
        "date32[day]": "date",
        "int64": "bigint",
        "bool": "boolean",
        "decimal128(18, 2)": "decimal(18, 2)",
    }
    return names.get(str(kind), "timestamptz")
