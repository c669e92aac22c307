"""Opens the catalog of a lake, a PostgreSQL database: its address, the publishers' lock, and what it keeps of removed rows."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from pipelines.consents.postgres import OURS, SERVERS, engine_of
from pipelines.errors import Busy, Failure, WrongUsage

PATIENCE = timedelta(minutes=10)
"""How long a publisher waits for another one: a cell takes seconds, maintenance of a large lake minutes."""
_LOCK = 0x6B6F_6E74_6F6C_616B
"""The key of the publishers' lock among the advisory locks of the catalog's database."""
_IS_VAULT = "select to_regclass('consents') is not null and to_regclass('attempts') is not null"
_WIDEST_TEXTS = """
    update ducklake_table_column_stats as stats set min_value = '', max_value = chr(1114111)
    from ducklake_column as columns
    where columns.table_id = stats.table_id and columns.column_id = stats.column_id and columns.column_type = 'varchar'
"""
_WIDEST_AMOUNTS = r"""
    update ducklake_table_column_stats as stats set min_value = '-' || bound, max_value = bound
    from (
        select table_id, column_id, repeat('9', digits - places) || rtrim('.' || repeat('9', places), '.') as bound
        from (
            select
                table_id,
                column_id,
                substring(column_type from '\((\d+)')::int    as digits,
                substring(column_type from ',\s*(\d+)')::int  as places
            from ducklake_column where column_type like 'decimal(%%'
        ) as decimals
    ) as columns
    where columns.table_id = stats.table_id and columns.column_id = stats.column_id
"""


class LakeBroken(Failure):
    """The lake's catalog, files or extensions cannot be used."""


@dataclass(frozen=True)
class Lake:
    """Where a lake is.

    `catalog` is the address of a PostgreSQL database, written as that of a vault; `data` is a folder or an `s3://` address.
    `encrypted`: a new lake encrypts its files; the keys are in the catalog.
    """

    catalog: str = field(repr=False)
    data: str
    encrypted: bool = False

    def url(self) -> sql.URL:
        """Returns the catalog's address. Raises `WrongUsage` when it is none of a PostgreSQL database."""
        with suppress(ArgumentError):
            url = sql.make_url(self.catalog)
            if url.get_backend_name() == "postgresql" and url.database:
                return url
        raise WrongUsage(
            "The setting fleet.lake is no address of a PostgreSQL database",
            "Write it as pipelines.vault_url, e.g. postgresql+psycopg://kontoledger@db/lake",
        )

    def for_libpq(self) -> str:
        """Returns the catalog's address as PostgreSQL's own programs take it: names and quoted values."""
        url = self.url()
        parts = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
        session = " ".join(f"-c {name}={value}" for name, value in SERVERS.items())
        given = {
            name: str(value) for name, value in {**OURS, "options": session, **parts, **url.query}.items() if value is not None
        }
        escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in given.items()}
        return " ".join(f"{name}='{value}'" for name, value in escaped.items())


class LakeCatalog:
    """One session of the catalog's database, which takes the publishers' lock."""

    def __init__(self, lake: Lake) -> None:
        """Connects. Raises `LakeBroken` when the database is away, `WrongUsage` when it is that of the vault."""
        try:
            engine = engine_of(lake.url(), poolclass=sql.NullPool, isolation_level="AUTOCOMMIT")
            self._session = engine.connect()
            is_vault = self._session.exec_driver_sql(_IS_VAULT).scalar()
        except (DBAPIError, NoSuchModuleError, ImportError) as error:
            raise lake_broken(error) from None
        if is_vault:
            self.close()
            raise WrongUsage(
                "The setting fleet.lake is the database of the vault, and readers of a lake would see its tables",
                "Make a database of its own for the lake (docs/fleet.md)",
            )

    @contextmanager
    def publisher_lock(self) -> Iterator[None]:
        """Holds the publishers' lock while the block runs. The server gives it back when this process dies.

        Raises `Busy` when another process holds it for longer than `PATIENCE`.
        """
        try:
            self._session.exec_driver_sql(f"set lock_timeout = {int(PATIENCE.total_seconds() * 1000)}")
            self._session.execute(sql.select(sql.func.pg_advisory_lock(_LOCK)))
        except OperationalError as error:
            if "lock timeout" in str(error.orig):
                raise Busy("Another process publishes into the lake, or maintains it", "Try again when it has finished") from None
            raise lake_broken(error) from None
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # a session that is lost has lost the lock
                self._session.execute(sql.select(sql.func.pg_advisory_unlock(_LOCK)))

    def confirm_lock(self) -> None:
        """Raises `LakeBroken` when the session is lost: the lock went with it, and nothing may be committed."""
        if not self._alive():
            raise LakeBroken("The publishers' lock of the lake is lost: its PostgreSQL has ended the session", "Run again")

    def widen_statistics(self) -> None:
        """Replaces the smallest and largest text and amount of each column by bounds that hold for every value.

        DuckLake keeps the true ones of rows that are removed, and they may be a name or an account number. Bounds that are too
        wide are right for every query; the narrow ones of each file stay, and they are what a query skips files by.
        """
        try:
            for statement in (_WIDEST_TEXTS, _WIDEST_AMOUNTS):
                self._session.exec_driver_sql(statement)
        except DBAPIError as error:
            raise lake_broken(error) from None

    def close(self) -> None:
        """Ends the session."""
        with suppress(SQLAlchemyError):
            self._session.close()

    def _alive(self) -> bool:
        try:
            self._session.exec_driver_sql("select 1")
        except SQLAlchemyError:
            return False
        return True


def lake_broken(error: Exception) -> LakeBroken:
    """Returns the failure for a lake that cannot be used, without the error's text: that may hold a password, or a value."""
    return LakeBroken(
        f"The lake cannot be used ({type(error).__name__})",
        "Check that the PostgreSQL of its catalog runs, that this machine reaches it and fleet.lake_data, and the credentials."
        " Then run again: the lake holds each cell as it was before, or as it is now",
    )
