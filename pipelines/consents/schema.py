"""Makes the vault's tables, and adds what a vault of an earlier version lacks.

`tables.py` is the only description of the vault. What is missing is computed from it, so there is no list of migrations and no
version number (`DECISIONS.md`, "A vault is migrated by adding what it lacks").
"""

import sqlalchemy as sql
from sqlalchemy.schema import CreateIndex, CreateTable

from pipelines.consents.tables import metadata

_FOUND = {
    "sqlite": """
        select 'column', t.name || '.' || c.name from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table'
        union all select type, name from sqlite_master where type in ('index', 'trigger')
    """,
    "postgresql": """
        with visible as (select oid, relname, relkind from pg_class where pg_table_is_visible(oid))
        select 'column', relname || '.' || attname from visible join pg_attribute on attrelid = oid
        where relkind in ('r', 'p') and attnum > 0 and not attisdropped and oid >= 16384
        union all select 'index', relname from visible where relkind in ('i', 'I') and oid >= 16384
        union all select 'trigger', tgname from pg_trigger
        where tgrelid in (to_regclass('audit'), to_regclass('closings')) and tgtype & 32 > 0
    """,
}
"""Lists the columns, indexes and triggers that a database has, by dialect, in one query. PostgreSQL's own have a smaller oid,
and a trigger of the first version let `truncate` through (bit 32)."""
DIALECTS = tuple(_FOUND)
"""The databases that can hold a vault."""

APPEND_ONLY = ("audit", "closings")
"""Tables of which the database refuses every change but another row."""
_SQLITE_APPEND_ONLY = """
create trigger {table}_no_{verb} before {verb} on {table} {when}
begin select raise(abort, 'the {table} trail is append-only'); end
"""
_SQLITE_REFUSED = {
    "update": "",
    "delete": "",
    "insert": "when exists (select 1 from {table} where entry = new.entry)",  # `insert or replace` deletes without a trigger
}
_POSTGRES_REFUSES = """
create or replace function {table}_is_append_only() returns trigger language plpgsql as
$$ begin raise exception 'the {table} trail is append-only'; end $$
"""
_POSTGRES_APPEND_ONLY = """
create or replace trigger {table}_append_only before update or delete or truncate on {table}
for each statement execute function {table}_is_append_only()
"""
_TRIGGERS: dict[str, dict[str, tuple[str, ...]]] = {
    "sqlite": {
        f"{table}_no_{verb}": (_SQLITE_APPEND_ONLY.format(table=table, verb=verb, when=when.format(table=table)),)
        for table in APPEND_ONLY
        for verb, when in _SQLITE_REFUSED.items()
    },
    "postgresql": {
        f"{table}_append_only": (_POSTGRES_REFUSES.format(table=table), _POSTGRES_APPEND_ONLY.format(table=table))
        for table in APPEND_ONLY
    },
}
"""The statements that make the triggers which refuse changes of these tables, by dialect and name."""
_MAKING = 0x6B6F6E746F
"""The number of PostgreSQL's advisory lock under which the tables are made."""


class NoVault(Exception):
    """The database holds a table that has a name of ours and lacks columns that every version of the vault has."""

    def __init__(self, table: str, columns: list[str]) -> None:
        super().__init__(f"its table {table} has no {', '.join(columns)}")


def prepare(engine: sql.Engine) -> None:
    """Makes the missing tables, columns, indexes and triggers, one process at a time: the others wait.

    A vault that lacks nothing costs one query. Raises `NoVault` before anything is changed.
    """
    with engine.connect() as connection:
        whole = not _missing(connection)
    if not whole:
        with engine.begin() as connection:
            _alone(connection)
            for statement in _missing(connection):
                connection.execute(statement)


def _missing(connection: sql.Connection) -> list[sql.Executable]:
    """Returns the statements that make what the database lacks, in their order."""
    dialect = connection.dialect
    found = {(str(kind), str(name)) for kind, name in connection.exec_driver_sql(_FOUND[dialect.name])}
    there = {name.partition(".")[0] for kind, name in found if kind == "column"}
    statements: list[sql.Executable] = []
    for table in tables_of(dialect.name):
        if table.name not in there:
            statements.append(CreateTable(table))
        else:
            lacking = [column for column in table.columns if ("column", f"{table.name}.{column.name}") not in found]
            if strange := [column.name for column in lacking if not column.nullable]:
                raise NoVault(table.name, strange)
            for column in lacking:
                kind = column.type.compile(dialect)
                statements.append(sql.text(f"alter table {table.name} add column {column.name} {kind}"))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        wanted = [index for index in indexes if _belongs(index, dialect.name)]
        statements += [CreateIndex(index) for index in wanted if ("index", index.name) not in found]
    for name, texts in _TRIGGERS[dialect.name].items():
        statements += [sql.text(text) for text in texts if ("trigger", name) not in found]
    return statements


def tables_of(dialect: str) -> list[sql.Table]:
    """Returns the tables that a vault in this kind of database has, each after those that it refers to."""
    return [table for table in metadata.sorted_tables if _belongs(table, dialect)]


def _belongs(item: sql.Table | sql.Index, dialect: str) -> bool:
    return bool(item.info.get("dialect", dialect) == dialect)


def _alone(connection: sql.Connection) -> None:
    """Waits until no other process makes the tables, and has others wait until this transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("begin immediate")
    else:
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_MAKING})")
