"""Computes marks: the control totals of a cell's ledger, by which a copy of it is compared with it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.store.sql import literal, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Columns = dict[str, dict[str, str]]
"""For each table its columns, each with its type."""
CELL = "cell"
"""The column that every table of the lake has before those of the ledger."""
TRANSACTIONS = "transactions"
MARKS = "cell_marks"
"""The table of the marks, in the lake and among the Parquet files."""


@dataclass(frozen=True)
class Totals:
    """The rows of all tables, the transactions, the sum of their amounts over all currencies, and a digest of all values.

    The digest depends neither on the order of rows or columns nor on columns without a value, so a table that got a column later
    has the digest that it had.
    """

    table_rows: int
    transactions: int
    amount: Decimal
    digest: str


@dataclass(frozen=True)
class Mark:
    """What the lake says of a cell: the totals at its last publication, and of which ledger they are.

    `version` is that of the cell's raw history in the vault, `purged_version` the one up to which erased rows were removed from
    older snapshots and files, too. `ledger_at` is when the ledger was built; None for a cell that was never published.
    """

    cell: str
    version: int
    purged_version: int
    run_id: str | None
    ledger_at: datetime | None
    totals: Totals | None


def columns_of(connection: "DuckDBPyConnection", database: str) -> Columns:
    """Returns the tables of an attached database, without its views."""
    found = rows_of(
        connection,
        "select table_name, column_name, data_type from duckdb_columns() join duckdb_tables() using (database_name, table_oid,"
        " table_name, schema_name) where database_name = ? and schema_name = 'main' order by table_name, column_index",
        [database],
    )
    tables: Columns = {}
    for row in found:
        tables.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    return tables


def totals_of_ledger(connection: "DuckDBPyConnection", tables: Columns) -> Totals:
    """Returns the totals of the attached database `ledger`."""
    return _totals(connection, "ledger", tables, "''", "").get("", NOTHING)


def totals_in_lake(connection: "DuckDBPyConnection", tables: Columns, cell: str | None = None) -> dict[str, Totals]:
    """Returns the totals of each cell that has rows in the attached database `lake`, or of one cell."""
    return _totals(connection, "lake", tables, CELL, "" if cell is None else f"where {CELL} = {literal(cell)}")


def _totals(connection: "DuckDBPyConnection", database: str, tables: Columns, cell: str, where: str) -> dict[str, Totals]:
    counted: dict[str, dict[str, tuple[int, int]]] = {}
    amounts: dict[str, Decimal] = {}
    for table, columns in tables.items():
        amount = "sum(amount)::decimal(38, 2)" if table == TRANSACTIONS else "null"
        query = f'select {cell}, count(*), sum({_row_number(columns)}), {amount} from {database}."{table}" {where} group by 1'
        for name, count, number, total in connection.execute(query).fetchall():
            counted.setdefault(name, {})[table] = (int(count), int(number))
            if total is not None:
                amounts[name] = total
    return {
        name: Totals(
            table_rows=sum(count for count, _ in by_table.values()),
            transactions=by_table.get(TRANSACTIONS, (0, 0))[0],
            amount=amounts.get(name, Decimal(0)),
            digest=_digest(by_table),
        )
        for name, by_table in counted.items()
    }


def _row_number(columns: Iterable[str]) -> str:
    """Returns the SQL of a number made of a row's names and values: 64 bits of their MD5, so that sums of it ignore the order."""
    values = (f'{literal(name + "=")} || "{name}"::varchar' for name in sorted(columns) if name != CELL)
    return f"md5_number_lower(concat_ws(chr(31), {', '.join(values)}))"


def _digest(by_table: dict[str, tuple[int, int]]) -> str:
    text = "\n".join(f"{table}:{count}:{number}" for table, (count, number) in sorted(by_table.items()))
    return hashlib.sha256(text.encode()).hexdigest()


NOTHING = Totals(0, 0, Decimal(0), _digest({}))
