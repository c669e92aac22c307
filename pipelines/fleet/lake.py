"""Publishes the ledgers of all cells into one lake: DuckLake, a catalog in PostgreSQL with Parquet files beside it.

Every table of the ledger is in the lake, with a column `cell` before its own. A cell is published in one transaction, so a reader
sees it as it was before or as it is now. One process at a time changes the lake, by an advisory lock of the catalog's database:
DuckLake finds conflicts by table, and a cell that two processes publish for the first time at once would be there twice.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.fleet.lake_catalog import Lake, LakeBroken, LakeCatalog, lake_broken
from pipelines.fleet.marks import CELL, MARKS, Columns, Mark, Totals, columns_of, totals_in_lake, totals_of_ledger
from pipelines.store.ledger_reader import LedgerUnreadable, unreadable
from pipelines.store.raw_copy import MEMORY
from pipelines.store.read_only import NO_BAR
from pipelines.store.sql import literal, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEPT = "7 days"
"""How long the lake can be asked for how it was."""
UNUSED = "1 day"
"""How long a file stays that no snapshot needs any more: a query that began before may still read it."""
OWN_S3 = "DUCKDB_S3_ENDPOINT"
"""The environment variable by which DuckDB finds an S3 server that is not Amazon's."""
BUCKETS = 32
"""Parts that each table's files are grouped by, so that a query of one cell reads a few of them."""
FLUSH = "ducklake_flush_inlined_data('lake')"
"""Writes the few rows that DuckLake keeps in its catalog into files. It removes rows that are deleted from files only."""
_MARK_COLUMNS = {
    CELL: "varchar",
    "version": "bigint",
    "purged_version": "bigint",
    "run_id": "varchar",
    "ledger_at": "timestamp with time zone",
    "table_rows": "bigint",
    "transactions": "bigint",
    "amount": "decimal(38, 2)",
    "digest": "varchar",
    "published_at": "timestamp with time zone",
}
Done = Literal["published", "unchanged", "outdated"]


class LakeSession:
    """One process's connection to the lake; see `opened`."""

    def __init__(self, connection: "DuckDBPyConnection", catalog: LakeCatalog) -> None:
        self._connection = connection
        self._catalog = catalog

    def register(self, cells: list[str]) -> None:
        """Makes the table of marks, and an empty mark of each cell that has none."""
        with self._alone():
            self._register(cells)

    def publish(self, cell: str, ledger: Path, version: int = 0) -> Done:
        """Replaces the rows of a cell by those of its ledger, in one transaction; returns what was done.

        `version` is that of the cell's raw history. "outdated": the lake has a newer one, and nothing was changed.
        Raises `Busy` when another publisher works for too long, `LedgerUnreadable` when the ledger cannot be read (all others can
        be published all the same), `LakeBroken` when the lake is away. Then it holds what it held.
        """
        with self._alone(), self._attached(ledger):
            self._register([cell])
            before = self.marks()[cell]
            if before.version > version:
                return "outdated"
            with _ledgers_own(ledger):
                tables, built = columns_of(self._connection, "ledger"), _built(self._connection)
                totals = totals_of_ledger(self._connection, tables)
            if before.totals == totals and before.version == version:
                return "unchanged"
            self._replace(before, version, tables, totals, built)
            if totals_in_lake(self._connection, tables, cell).get(cell) != totals:
                raise LakeBroken(
                    f"The rows of {cell} in the lake are not those of its ledger",
                    "Run `fleet publish` again; if that repeats, make a new lake (docs/fleet.md)",
                )
            return "published"

    def erase(self, cell: str, ledger: Path, version: int = 0) -> None:
        """Publishes a ledger that rows were erased from, and leaves nothing of them in snapshots, files and catalog."""
        self.publish(cell, ledger, version)
        self.purge({cell: version})

    def purge(self, versions: dict[str, int]) -> None:
        """Removes every snapshot but the newest, every file that only they needed, and values of removed rows in the catalog.

        `versions` has the version of each cell that rows were erased from. Their newest ledgers are published before.
        A query that reads one of these files meanwhile fails.
        """
        with self._alone():
            self._call(
                FLUSH,
                "ducklake_rewrite_data_files('lake', delete_threshold => 0)",
                "ducklake_expire_snapshots('lake', older_than => now())",
                "ducklake_cleanup_old_files('lake', cleanup_all => true)",
                "ducklake_delete_orphaned_files('lake', cleanup_all => true)",
            )
            self._catalog.widen_statistics()
            for cell, version in versions.items():
                self._connection.execute(f"update lake.{MARKS} set purged_version = ? where {CELL} = ?", [version, cell])

    def maintain(self) -> None:
        """Merges small files, forgets snapshots older than `KEPT`, and removes files that nothing needs."""
        with self._alone():
            self._call(
                FLUSH,
                "ducklake_merge_adjacent_files('lake')",
                "ducklake_rewrite_data_files('lake')",
                f"ducklake_expire_snapshots('lake', older_than => now() - interval '{KEPT}')",
                f"ducklake_cleanup_old_files('lake', older_than => now() - interval '{UNUSED}')",
                f"ducklake_delete_orphaned_files('lake', older_than => now() - interval '{UNUSED}')",
            )

    def marks(self) -> dict[str, Mark]:
        """Returns the mark of each cell."""
        if MARKS not in columns_of(self._connection, "lake"):
            return {}
        return {row[CELL]: _mark(row) for row in rows_of(self._connection, f"select * from lake.{MARKS} order by {CELL}")}

    def check(self, ledgers: dict[str, Path]) -> list[str]:
        """Returns a sentence for each cell whose rows in the lake are not those of its mark, or not those of the same ledger.

        `ledgers` are those at hand. One that was built after its cell was published is no finding. Raises `LakeBroken`.
        """
        with _failing_clearly():
            marks, found = self._marks_and_totals()
            findings = [
                f"{cell}: the lake has {_shown(found.get(cell))}, its mark says {_shown(mark)}"
                for cell in sorted(marks.keys() | found.keys())
                if found.get(cell) != (mark := marks[cell].totals if cell in marks else None)
            ]
            for cell, ledger in ledgers.items():
                if cell not in marks:
                    continue
                with suppress(LedgerUnreadable), self._attached(ledger), _ledgers_own(ledger):  # its own check names that
                    totals = totals_of_ledger(self._connection, columns_of(self._connection, "ledger"))
                    if _built(self._connection)["ledger_at"] == marks[cell].ledger_at and totals != marks[cell].totals:
                        findings.append(
                            f"{cell}: its ledger has {_shown(totals)}, its mark in the lake says {_shown(marks[cell].totals)}"
                        )
            return findings

    def _marks_and_totals(self) -> tuple[dict[str, Mark], dict[str, Totals]]:
        """Returns the marks, and what the lake has of each cell, of one moment."""
        self._connection.execute("begin")
        try:
            tables = columns_of(self._connection, "lake")
            tables.pop(MARKS, None)
            return self.marks(), totals_in_lake(self._connection, tables)
        finally:
            self._rollback()

    def _replace(self, before: Mark, version: int, tables: Columns, totals: Totals, built: dict[str, Any]) -> None:
        cell = literal(before.cell)
        with self._transaction():
            known = columns_of(self._connection, "lake")
            for table, columns in tables.items():
                self._adapt(table, columns, known.get(table))
            for table in tables.keys() | known.keys() - {MARKS}:  # the ledger of an earlier version may have had others
                self._connection.execute(f'delete from lake."{table}" where {CELL} = {cell}')
            for table in tables:
                self._connection.execute(f'insert into lake."{table}" by name select {cell} as {CELL}, * from ledger."{table}"')
            # A mark that is there already is what another publisher's commit conflicts with, should both believe to be alone.
            self._connection.execute(f"delete from lake.{MARKS} where {CELL} = {cell}")
            self._connection.execute(
                f"insert into lake.{MARKS} values (?, ?, ?, ?, ?, ?, ?, ?, ?, now())",
                [
                    *(before.cell, version, before.purged_version, built["run_id"], built["ledger_at"]),
                    *(totals.table_rows, totals.transactions, totals.amount, totals.digest),
                ],
            )
            self._catalog.confirm_lock()

    def _adapt(self, table: str, columns: dict[str, str], known: dict[str, str] | None) -> None:
        """Makes the lake's table, or adds the columns that it lacks."""
        if known is None:
            like = f'select {literal("")} as {CELL}, * from ledger."{table}" limit 0'
            self._connection.execute(f'create table lake."{table}" as {like}')
            self._connection.execute(f'alter table lake."{table}" set partitioned by (bucket({BUCKETS}, {CELL}))')
            return
        for name, kind in columns.items():
            if name not in known:
                self._connection.execute(f'alter table lake."{table}" add column "{name}" {kind}')
            elif known[name] != kind:
                raise LakeBroken(
                    f"The column {table}.{name} is {kind} in the ledger and {known[name]} in the lake",
                    "Make a new lake: another database and folder, then `fleet publish` (docs/fleet.md)",
                )

    def _register(self, cells: list[str]) -> None:
        known = self.marks()
        if all(cell in known for cell in cells):
            return
        described = ", ".join(f"{name} {kind}" for name, kind in _MARK_COLUMNS.items())
        with self._transaction():
            self._connection.execute(f"create table if not exists lake.{MARKS} ({described})")
            for cell in cells:
                if cell not in known:
                    empty = f"select ? as {CELL}, 0 as version, 0 as purged_version"
                    self._connection.execute(f"insert into lake.{MARKS} by name {empty}", [cell])

    def _call(self, *functions: str) -> None:
        for function in functions:
            self._connection.execute(f"call {function}").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        with suppress(Exception):  # of a connection that is spent
            self._connection.execute("rollback")

    @contextmanager
    def _attached(self, ledger: Path) -> Iterator[None]:
        with _ledgers_own(ledger):
            self._connection.execute(f"attach {literal(ledger)} as ledger (read_only)")
        try:
            yield
        finally:
            with suppress(Exception):  # of a connection that is spent
                self._connection.execute("detach ledger")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _failing_clearly(), self._catalog.publisher_lock():
            yield


@contextmanager
def opened(lake: Lake, memory: str = MEMORY) -> Iterator[LakeSession]:
    """Opens the lake, and makes it where there is none. Raises `LakeBroken` when that cannot be done.

    After a failure of the lake the session is spent; a new one works.
    """
    import duckdb

    with closing(LakeCatalog(lake)) as catalog, duckdb.connect(":memory:", config={"memory_limit": memory}) as connection:
        connection.execute(f"set TimeZone = 'UTC'; {NO_BAR}")
        _load_extensions(connection, lake)
        if "://" in lake.data and os.environ.get(OWN_S3):  # few such servers have a host name for each bucket
            connection.execute("set global s3_url_style = 'path'")
        options = f"data_path {literal(lake.data)}{', encrypted' if lake.encrypted else ''}"
        with _failing_clearly():
            connection.execute(f"attach {literal(f'ducklake:postgres:{lake.for_libpq()}')} as lake ({options})")
        yield LakeSession(connection, catalog)


@contextmanager
def _failing_clearly() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise lake_broken(error) from None


@contextmanager
def _ledgers_own(ledger: Path) -> Iterator[None]:
    """Turns what fails inside the block, which reads a ledger only, into `LedgerUnreadable`."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise unreadable(ledger, error) from None


def _load_extensions(connection: "DuckDBPyConnection", lake: Lake) -> None:
    import duckdb

    for name in ("postgres", "ducklake", *(["httpfs"] if "://" in lake.data else [])):
        try:
            try:
                connection.execute(f"load {name}")
            except duckdb.Error:
                connection.execute(f"install {name}")
                connection.execute(f"load {name}")
        except duckdb.Error:
            raise LakeBroken(
                f"DuckDB {duckdb.__version__} has no extension `{name}` here, and cannot fetch it",
                "Let this machine reach DuckDB's extensions once, or install the file by hand (docs/fleet.md)",
            ) from None


def _built(connection: "DuckDBPyConnection") -> dict[str, Any]:
    """Returns of which run the attached ledger is, and when it was built."""
    return rows_of(connection, "select run_id, published_at as ledger_at from ledger.about")[0]


def _mark(row: dict[str, Any]) -> Mark:
    totals = Totals(row["table_rows"], row["transactions"], row["amount"], row["digest"]) if row["digest"] else None
    return Mark(row[CELL], row["version"], row["purged_version"], row["run_id"], row["ledger_at"], totals)


def _shown(totals: Totals | None) -> str:
    if totals is None:
        return "nothing"
    return f"{totals.table_rows} rows, {totals.transactions} transactions, digest {totals.digest[:12]}"
