"""Writes the cells' ledgers as Parquet files that any engine reads by a glob, where there is no lake.

`transactions/cell=cell-0042/transactions.parquet` has the rows of one cell. Each file is replaced in one step, the one in
`cell_marks` last. So a reader sees whole files, but may see tables of two publications.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure
from pipelines.fleet.cells import cell_statuses
from pipelines.fleet.marks import CELL, MARKS, Totals, columns_of, totals_of_ledger
from pipelines.fleet.publication import newest_ledger
from pipelines.store.atomic_files import replacing
from pipelines.store.ledger_reader import LedgerUnreadable, ledger_of
from pipelines.store.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.consents.database import Database
    from pipelines.settings import Settings


@dataclass
class ExportedCells:
    """What was done with each cell that has a ledger on this machine.

    `removed`: another machine has erased something of it, and the files here were older. `troubles` has a sentence for each
    ledger that cannot be read.
    """

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def export_fleet(settings: "Settings", database: "Database", folder: Path) -> ExportedCells:
    """Writes each ledger of this machine that is not in `folder` yet. Raises `Failure` when a file cannot be written."""
    done = ExportedCells()
    for one in cell_statuses(database):
        if newest_ledger(settings, one) is None:
            if (one.erased_version or 0) > exported_version(folder, one.cell):
                remove_cell(folder, one.cell)
                done.removed.append(one.cell)
            continue
        try:
            with ledger_of(settings.fleet.folder / one.cell, memory=settings.memory_limit) as connection:
                written = export_cell(connection, one.cell, folder, one.version)
        except LedgerUnreadable as failure:
            done.troubles.append(f"{one.cell}: {failure}")
            continue
        (done.written if written else done.unchanged).append(one.cell)
    return done


def export_cell(connection: "DuckDBPyConnection", cell: str, folder: Path, version: int = 0) -> bool:
    """Writes the tables of the attached ledger as files of this cell; returns False when its files are there already.

    `version` is that of the cell's raw history.
    """
    tables = columns_of(connection, "ledger")
    totals = totals_of_ledger(connection, tables)
    mark = _file(folder, MARKS, cell)
    with _named(cell):
        if _marked(mark, "digest") == totals.digest:
            if _marked(mark, "version") != version:
                _write(connection, _mark(totals, version), mark)
            return False
        mark.unlink(missing_ok=True)  # until the last file is written, these are of no ledger
        for table in tables:
            _write(connection, f'select * from ledger."{table}"', _file(folder, table, cell))
        for old in folder.glob(f"*/{CELL}={cell}"):
            if old.parent.name not in tables and old.parent.name != MARKS:  # a table of an earlier version
                _file(folder, old.parent.name, cell).unlink(missing_ok=True)
        _write(connection, _mark(totals, version), mark)
    return True


def exported_version(folder: Path, cell: str) -> float:
    """Returns the version of the raw history that a cell's files are of: infinite where there are none, 0 where nobody knows."""
    if not any(folder.glob(f"*/{CELL}={cell}/*.parquet")):
        return inf
    return float(_marked(_file(folder, MARKS, cell), "version") or 0)


def remove_cell(folder: Path, cell: str) -> None:
    """Removes a cell's files."""
    with _named(cell):
        for path in folder.glob(f"*/{CELL}={cell}/*.parquet"):
            path.unlink(missing_ok=True)


@contextmanager
def _named(cell: str) -> Iterator[None]:
    """Turns a failure to write inside the block into one that names the cell."""
    import duckdb

    try:
        yield
    except (duckdb.IOException, OSError) as error:
        raise Failure(
            f"The files of {cell} cannot be written ({type(error).__name__})", "Choose another folder with --out"
        ) from None


def _file(folder: Path, table: str, cell: str) -> Path:
    return folder / table / f"{CELL}={cell}" / f"{table}.parquet"


def _write(connection: "DuckDBPyConnection", query: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        connection.execute(f"copy ({query}) to {literal(new)} (format parquet, compression zstd)")


def _marked(mark: Path, name: str) -> Any:
    """Returns a value of a mark; None where there is no mark, it is of an earlier version, or somebody has damaged it."""
    import duckdb

    with suppress(duckdb.Error), duckdb.connect(":memory:") as connection:
        return connection.execute(f"select {name} from read_parquet({literal(mark)})").fetchall()[0][0]
    return None


def _mark(totals: Totals, version: int) -> str:
    return (
        f"select {version}::bigint as version, run_id, published_at as ledger_at, {totals.table_rows}::bigint as table_rows,"
        f" {totals.transactions}::bigint as transactions, {totals.amount}::decimal(38, 2) as amount, {literal(totals.digest)} as"
        " digest from ledger.about"
    )
