"""Holds the vault's tables, and opens, prepares, reads and writes its database."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.schema import CreateIndex, CreateTable

from pipelines.errors import Failure, WrongUsage
from pipelines.store.lock import try_locks

metadata = sql.MetaData()

consents = sql.Table(
    "consents",
    metadata,
    sql.Column("consent_id", sql.String, primary_key=True),
    sql.Column("source", sql.String, nullable=False),
    sql.Column("institution", sql.String, nullable=False),
    sql.Column("target", sql.String),
    sql.Column("access_mode", sql.String, nullable=False),
    sql.Column("owner_external_id", sql.String),
    sql.Column("status", sql.String, nullable=False),
    sql.Column("status_reason", sql.String),
    sql.Column("created_at", sql.String, nullable=False),
    sql.Column("expires_at", sql.String),
    sql.Column("last_import_at", sql.String),
    sql.Column("replaces", sql.String),
    sql.Column("erase_asked_at", sql.String),
    sql.Column("sealed_key", sql.LargeBinary),
    sql.Column("sealed_token", sql.LargeBinary),
    sql.Column("sealed_sign_in", sql.LargeBinary),
)
consent_accounts = sql.Table(
    "consent_accounts",
    metadata,
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), primary_key=True),
    sql.Column("account_id", sql.String, primary_key=True),
)
attempts = sql.Table(
    "attempts",
    metadata,
    sql.Column("attempt_id", sql.String, primary_key=True),
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), nullable=False, index=True),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("started_at", sql.String, nullable=False),
    sql.Column("finished_at", sql.String),
    sql.Column("outcome", sql.String),
    sql.Column("command_id", sql.String),
    sql.Column("since", sql.String),
)
refusals = sql.Table(
    "refusals",
    metadata,
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), primary_key=True),
    sql.Column("refused_at", sql.String, nullable=False),
    sql.Column("next_at", sql.String, nullable=False),
)
"""The bank's last answer that the quota of a consent's accounts is used up, and when the next import is possible."""
audit = sql.Table(
    "audit",
    metadata,
    sql.Column("entry", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at", sql.String, nullable=False),
    sql.Column("who", sql.String, nullable=False),
    sql.Column("consent_id", sql.String, nullable=False, index=True),
    sql.Column("what", sql.String, nullable=False),
    sql.Column("outcome", sql.String, nullable=False),
)
"""Who did what to which consent, when, and with what result. Rows are only ever added: the database itself refuses the rest."""
keys = sql.Table(
    "keys",
    metadata,
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("sealed_key", sql.LargeBinary, nullable=False),
)
national_ids = sql.Table(
    "national_ids",
    metadata,
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), primary_key=True),
    sql.Column("person_key", sql.String, primary_key=True),
    sql.Column("sealed_number", sql.LargeBinary, nullable=False),
)
"""National ids of owners, where the settings keep them; empty by default."""
histories = sql.Table(
    "histories",
    metadata,
    sql.Column("history_id", sql.String, primary_key=True),
    sql.Column("known_since", sql.String, nullable=False),
)
"""The raw histories that were read with these consents."""

_SQLITE_APPEND_ONLY = """
create trigger if not exists audit_no_{verb} before {verb} on audit {when}
begin select raise(abort, 'the audit trail is append-only'); end
"""
_SQLITE_REFUSED = {
    "update": "",
    "delete": "",
    "insert": "when exists (select 1 from audit where entry = new.entry)",  # `insert or replace` deletes without a trigger
}
_POSTGRES_APPEND_ONLY = """
create or replace function audit_is_append_only() returns trigger language plpgsql as
$$ begin raise exception 'the audit trail is append-only'; end $$;
create trigger audit_append_only before update or delete or truncate on audit
for each statement execute function audit_is_append_only();
"""
_TRIGGERS = {
    "sqlite": "select count(*) = 3 from sqlite_master where type = 'trigger' and name like 'audit_no_%'",
    "postgresql": "select count(*) > 0 from pg_trigger where tgname = 'audit_append_only' and tgrelid = to_regclass('audit')",
}
"""Whether the audit trail refuses changes already, by dialect."""
WAY_BACK = (
    "Check that it is a database of this project, that this user can write it, and that its disk has space left. If it is"
    " damaged, restore a backup, or move it away and connect the banks again: raw history and ledger are not touched"
)
PATIENCE = 30
"""Seconds for which a process waits for another that writes to the vault, or makes it."""
_MAKING = 0x6B6F6E746F
"""The number of PostgreSQL's advisory lock under which the tables are made."""


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
            self._engine = sql.create_engine(url or f"sqlite:///{path}", connect_args={} if url else {"timeout": PATIENCE})
            if self._engine.dialect.name == "sqlite":
                sql.event.listen(self._engine, "connect", _careful)
            with self._closed_unless_whole():
                self._prepare()
        except (ArgumentError, NoSuchModuleError, ImportError):
            raise WrongUsage(
                "The setting pipelines.vault_url is no database address that can be used here",
                "Write it as SQLAlchemy does, e.g. postgresql+psycopg://user:password@host/name, with its driver installed",
            ) from None
        except (DBAPIError, OSError, UnicodeDecodeError) as error:
            raise self._broken(error) from None

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
        """Makes the missing tables, columns and triggers, one process at a time: others wait up to `PATIENCE` seconds."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite" and connection.exec_driver_sql("pragma quick_check(1)").scalar() != "ok":
                raise VaultBroken(f"{self._where} is damaged", WAY_BACK)  # a write would make it worse
            whole = _guarded(connection) and not self._missing(connection)
        if not whole:
            with self._engine.begin() as connection:
                _alone(connection)
                for statement in self._missing(connection):
                    connection.execute(statement)
                _append_only(connection)

    def _missing(self, connection: sql.Connection) -> list[sql.Executable]:
        """Returns the statements that make the missing tables and columns. Raises `VaultBroken` for a table that is not ours.

        A missing column that may be null is added: an earlier version made the vault.
        """
        seen, found = sql.inspect(connection), list[sql.Executable]()
        there = set(seen.get_table_names())
        for table in metadata.sorted_tables:
            if table.name not in there:
                found += [CreateTable(table), *(CreateIndex(index) for index in table.indexes)]
                continue
            known = {column["name"] for column in seen.get_columns(table.name)}
            lacking = [column for column in table.columns if column.name not in known]
            if strange := [column.name for column in lacking if not column.nullable]:
                raise VaultBroken(f"{self._where} is no vault: its table {table.name} has no {', '.join(strange)}", WAY_BACK)
            found += [
                sql.text(f"alter table {table.name} add column {column.name} {column.type.compile(connection.dialect)}")
                for column in lacking
            ]
        return found

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Opens a connection for several queries."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def read(self, query: sql.Select[Any]) -> list[sql.Row[Any]]:
        """Returns the rows of a query."""
        with self.reading() as connection:
            return list(connection.execute(query))

    @contextmanager
    def transaction(self) -> Iterator[sql.Connection]:
        """Opens a transaction. On SQLite no other process writes meanwhile: a row that was read in it does not change."""
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("begin immediate")
                yield connection
        except (DBAPIError, UnicodeDecodeError) as error:
            raise self._broken(error) from None

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

    def _broken(self, error: DBAPIError | OSError | UnicodeDecodeError) -> VaultBroken:
        # SQLAlchemy's text holds the statement and its values: only the kind of the failure is repeated.
        cause = error.orig if isinstance(error, DBAPIError) else error
        if self._folder is not None and isinstance(cause, sqlite3.OperationalError):
            with suppress(OSError):
                try_locks(self._folder)  # for SQLite a file system without locks is a file that somebody holds
        kind = cause.__class__.__name__
        return VaultBroken(f"{self._where} cannot be used ({kind})", WAY_BACK)


def as_instant(text: str) -> datetime:
    """Returns the moment that `as_text` wrote. Raises `VaultBroken` for any other text."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except (ValueError, TypeError):
        raise VaultBroken("A date in the vault cannot be read", WAY_BACK) from None


def _careful(connection: Any, _record: Any) -> None:
    """Has SQLite overwrite deleted rows, and answer only when the disk holds a change."""
    for pragma in ("secure_delete = on", "synchronous = full", "foreign_keys = on"):
        connection.execute(f"PRAGMA {pragma}")


def _append_only(connection: sql.Connection) -> None:
    """Makes the triggers that refuse changes of the audit trail."""
    if connection.dialect.name == "sqlite":
        for verb, when in _SQLITE_REFUSED.items():
            connection.exec_driver_sql(_SQLITE_APPEND_ONLY.format(verb=verb, when=when))
    elif connection.dialect.name == "postgresql" and not _guarded(connection):
        connection.exec_driver_sql(_POSTGRES_APPEND_ONLY)


def _guarded(connection: sql.Connection) -> bool:
    """Returns whether the audit trail refuses changes already, as far as its database can."""
    triggers = _TRIGGERS.get(connection.dialect.name)
    return triggers is None or bool(connection.exec_driver_sql(triggers).scalar())


def _alone(connection: sql.Connection) -> None:
    """Waits until no other process makes the tables, and has others wait until this transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("begin immediate")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"set local lock_timeout = '{PATIENCE}s'")
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_MAKING})")


def _create_private(path: Path) -> None:
    """Makes the file readable to its owner only, before anything is in it."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
