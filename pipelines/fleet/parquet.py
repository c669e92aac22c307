"""Writes the cells' ledgers as Parquet files that any engine reads by a glob, where there is no lake.

`transactions/cell=cell-0042/transactions.parquet` has the rows of one cell. Each file is replaced in one step, the one in
`cell_marks` last. So a reader sees whole files, but may see tables of two publications.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Failure
from pipelines.fleet.cells import cell_statuses
from pipelines.fleet.marks import CELL, MARKS, Totals, columns_of, totals_of_ledger
from pipelines.fleet.publication import newest_ledger
from pipelines.store.atomic_files import replacing
from pipelines.store.ledger_reader import ledger_of
from pipelines.store.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.consents.database import Database
    from pipelines.settings import Settings


@dataclass
class ExportedCells:
    """What was done with each cell that has a ledger on this machine."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def export_fleet(settings: "Settings", database: "Database", folder: Path) -> ExportedCells:
    """Writes each ledger of this machine that is not in `folder` yet. Raises `Failure` when a file cannot be written."""
    done = ExportedCells()
    for one in cell_statuses(database):
        if newest_ledger(settings, one) is None:
            continue
        with ledger_of(settings.fleet.folder / one.cell, memory=settings.memory_limit) as connection:
            written = export_cell(connection, one.cell, folder)
        (done.written if written else done.unchanged).append(one.cell)
    return done


def export_cell(connection: "DuckDBPyConnection", cell: str, folder: Path) -> bool:
    """Writes the tables of the attached ledger as files of this cell; returns False when its files are there already."""
    import duckdb

    tables = columns_of(connection, "ledger")
    totals = totals_of_ledger(connection, tables)
    mark = _file(folder, MARKS, cell)
    try:
        if _digest(connection, mark) == totals.digest:
            return False
        mark.unlink(missing_ok=True)  # until the last file is written, these are of no ledger
        for table in tables:
            _write(connection, f'select * from ledger."{table}"', _file(folder, table, cell))
        for old in folder.glob(f"*/{CELL}={cell}"):
            if old.parent.name not in tables and old.parent.name != MARKS:  # a table of an earlier version
                _file(folder, old.parent.name, cell).unlink(missing_ok=True)
        _write(connection, _mark(totals), mark)
    except (duckdb.IOException, OSError) as error:
        raise Failure(
            f"The files of {cell} cannot be written ({type(error).__name__})", "Choose another folder with --out"
        ) from None
    return True


def _file(folder: Path, table: str, cell: str) -> Path:
    return folder / table / f"{CELL}={cell}" / f"{table}.parquet"


def _write(connection: "DuckDBPyConnection", query: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        connection.execute(f"copy ({query}) to {literal(new)} (format parquet, compression zstd)")


def _digest(connection: "DuckDBPyConnection", mark: Path) -> str | None:
    import duckdb

    with suppress(duckdb.Error):  # there is none, or somebody has damaged it
        found: str = connection.execute(f"select digest from read_parquet({literal(mark)})").fetchall()[0][0]
        return found
    return None


def _mark(totals: Totals) -> str:
    return (
        f"select run_id, published_at as ledger_at, {totals.table_rows}::bigint as table_rows, {totals.transactions}::bigint as"
        f" transactions, {totals.amount}::decimal(38, 2) as amount, {literal(totals.digest)} as digest from ledger.about"
    )
