"""Opens, reads, writes and locks the vault's database: a SQLite file, or a PostgreSQL that several hosts share."""

import hashlib
import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from pipelines.consents.postgres import engine_of, settings_of
from pipelines.consents.schema import DIALECTS, NoVault, prepare
from pipelines.errors import Failure, WrongUsage
from pipelines.store.lock import try_locks

WAY_BACK = (
    "Check that it is a database of this project, that this user can write it, and that its disk has space left. If it is"
    " damaged, restore a backup, or move it away and connect the banks again: raw history and ledger are not touched"
)
AWAY = (
    "Check that its server runs, that this machine reaches it, and that user, password and name in pipelines.vault_url are right."
    " Then run again: nothing is lost, and an import that the bank has accepted is resumed"
)
BUSY = "Run again. If it lasts, look in pg_stat_activity for a process that has stopped"
SERVERS_ANSWERS = {
    "InsufficientPrivilege": "Give the user in pipelines.vault_url all rights on the vault's tables, then run again",
    "ReadOnlySqlTransaction": "It takes no changes, as a standby does: name the primary in pipelines.vault_url",
    "DiskFull": "Make room on its server's disk, then run again: nothing is lost",
}
"""The next step, by the kind of PostgreSQL's error, where the server itself is well."""
PATIENCE = 30
"""Seconds for which a process waits for another that writes to the vault, or makes it."""
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z")
_UNUSABLE = (DBAPIError, NoConnectionLeft, UnicodeDecodeError)


class VaultBroken(Failure):
    """The vault cannot be opened, read or decrypted."""


class Database:
    """The vault's database. Open one per process and share it; every call is a transaction of its own."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        """Opens the SQLite file `path`, readable to its owner only, or the database at `url`, and makes its tables."""
        self._where = "The vault's database" if url else f"The vault {path}"
        self._folder = None if url else path.parent
        try:
            if url is None:
                _create_private(path)
            self._engine = _engine(url or f"sqlite:///{path}")
            with self._closed_unless_whole():
                self._prepare()
        except (ArgumentError, NoSuchModuleError, ImportError):
            raise WrongUsage(
                "The setting pipelines.vault_url is no database address that can be used here",
                "Write it as SQLAlchemy does, e.g. postgresql+psycopg://user:password@host/name, with its driver installed and"
                " signs such as @ and / in the password as %40 and %2F",
            ) from None
        except (*_UNUSABLE, OSError) as error:
            raise self._broken(error) from None

    @property
    def is_shared(self) -> bool:
        """Returns whether processes of several hosts may use it: it is a PostgreSQL."""
        return self._engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    @contextmanager
    def _closed_unless_whole(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Makes what is missing. Raises `VaultBroken` for a database that is damaged or not ours."""
        if not self.is_shared:
            with self._engine.connect() as connection:
                if connection.exec_driver_sql("pragma quick_check(1)").scalar() != "ok":
                    raise VaultBroken(f"{self._where} is damaged", WAY_BACK)  # a write would make it worse
        try:
            prepare(self._engine)
        except NoVault as other:
            raise VaultBroken(f"{self._where} is no vault: {other}", WAY_BACK) from None

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Opens a connection for several queries."""
        with self.failing_clearly(), self._engine.connect() as connection:
            yield connection

    def read(self, query: sql.Select[Any]) -> list[sql.Row[Any]]:
        """Returns the rows of a query."""
        with self.reading() as connection:
            return list(connection.execute(query))

    @contextmanager
    def transaction(self) -> Iterator[sql.Connection]:
        """Opens a transaction. On SQLite no other process writes meanwhile: a row that was read in it does not change."""
        with self.failing_clearly(), self._engine.begin() as connection:
            if not self.is_shared:
                connection.exec_driver_sql("begin immediate")
            yield connection

    def refuse_unwritable(self) -> None:
        """Raises `VaultBroken` where nothing can be stored, as on a full disk. SQLite writes a page that stays as it is."""
        with self.transaction() as connection:
            if connection.dialect.name == "sqlite":
                version = int(connection.exec_driver_sql("pragma user_version").scalar() or 0)
                connection.exec_driver_sql(f"pragma user_version = {version}")

    def write(self, statement: sql.Executable, rows: list[dict[str, Any]] | None = None) -> None:
        """Executes one statement in a transaction of its own."""
        with self.transaction() as connection:
            connection.execute(statement, rows)

    def lock(self, connection: sql.Connection, names: Iterable[str]) -> None:
        """Locks these names until the transaction ends: another one that locks any of them waits, on whichever host.

        All are locked in one fixed order. Two calls in one transaction must not be reversed elsewhere. A SQLite transaction is
        alone in any case.
        """
        if self.is_shared:
            keys = sorted({_lock_key(name) for name in names})
            connection.execute(sql.text("select pg_advisory_xact_lock(k) from unnest(cast(:keys as bigint[])) k"), {"keys": keys})

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keeps processes of other hosts from what they do under this name while the block runs.

        Processes of one host that share a SQLite vault share a data directory, whose locks are files. Raises `VaultBroken` when
        another process does it for `PATIENCE` seconds.
        """
        if not self.is_shared:
            yield
            return
        with closing(self.session()) as session:
            with self.failing_clearly():
                session.execute(sql.select(sql.func.pg_advisory_lock(_lock_key(name))))
            yield

    def session(self) -> sql.Connection:
        """Returns a connection of its own, without transactions, for locks that end with it. The caller closes it."""
        with self.failing_clearly():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
        return connection

    @contextmanager
    def failing_clearly(self) -> Iterator[None]:
        """Turns what the database reports inside the block into `VaultBroken`."""
        try:
            yield
        except _UNUSABLE as error:
            raise self._broken(error) from None

    def _broken(self, error: DBAPIError | NoConnectionLeft | OSError | UnicodeDecodeError) -> VaultBroken:
        # SQLAlchemy's text holds the statement and its values: only the kind of the failure is repeated.
        cause = error.orig if isinstance(error, DBAPIError) else error
        if self._folder is not None and isinstance(cause, sqlite3.OperationalError):
            with suppress(OSError):
                try_locks(self._folder)  # for SQLite a file system without locks is a file that somebody holds
        away = self._folder is None and isinstance(error, OperationalError | InterfaceError | NoConnectionLeft)
        kind = cause.__class__.__name__
        if kind == "LockNotAvailable":
            return VaultBroken(f"{self._where} is busy: another process has held a lock for {PATIENCE} seconds", BUSY)
        return VaultBroken(f"{self._where} cannot be used ({kind})", SERVERS_ANSWERS.get(kind) or (AWAY if away else WAY_BACK))


def as_instant(text: str) -> datetime:
    """Returns the moment that `as_text` wrote. Raises `VaultBroken` for any other text."""
    try:
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text)  # fifty times as fast as strptime, which a large vault feels
    except (ValueError, TypeError):
        pass
    raise VaultBroken("A date in the vault cannot be read", WAY_BACK)


def _engine(url: str) -> sql.Engine:
    """Returns the engine of an address. Raises `ArgumentError` for an address of another kind of database."""
    try:
        kind = sql.make_url(url).get_backend_name()
    except ValueError as error:  # a port that is no number, as after a password with a colon or slash
        raise ArgumentError("no address") from error
    if kind not in DIALECTS:
        raise ArgumentError(f"a vault cannot be in {kind}")  # others would count imports without a lock
    if kind == "sqlite":
        engine = sql.create_engine(url, connect_args={"timeout": PATIENCE})
        sql.event.listen(engine, "connect", _careful)
        return engine
    # What is counted under a lock must be seen as it is then, not as it was when the transaction began.
    engine = engine_of(url, isolation_level="READ COMMITTED", pool_pre_ping=True)
    if engine.dialect.is_async:
        raise ArgumentError("a driver that waits for nothing")
    sql.event.listen(engine, "connect", _well_set)
    return engine


def _well_set(connection: Any, _record: Any) -> None:
    """Sets how long PostgreSQL lets this connection wait for a lock, and be silent."""
    with connection.cursor() as cursor:
        cursor.execute(f"select {settings_of({'lock_timeout': f'{PATIENCE}s', 'idle_session_timeout': '0'})}")
    connection.commit()


def _lock_key(name: str) -> int:
    """Returns the number of PostgreSQL's advisory lock of this name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


def _careful(connection: Any, _record: Any) -> None:
    """Has SQLite overwrite deleted rows, and answer only when the disk holds a change."""
    for pragma in ("secure_delete = on", "synchronous = full", "foreign_keys = on"):
        connection.execute(f"PRAGMA {pragma}")


def _create_private(path: Path) -> None:
    """Makes the file readable to its owner only, before anything is in it."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
