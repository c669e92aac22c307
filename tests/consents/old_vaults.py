"""Vaults as the first version made them, with a consent, its imports and its trail."""

from pathlib import Path

import sqlalchemy as sql

_TABLES = """
create table consents (consent_id varchar not null primary key, source varchar not null, institution varchar not null,
    target varchar, access_mode varchar not null, owner_external_id varchar, status varchar not null, status_reason varchar,
    created_at varchar not null, expires_at varchar, last_import_at varchar, replaces varchar, sealed_key {bytes},
    sealed_token {bytes}, sealed_sign_in {bytes});
create table consent_accounts (consent_id varchar not null references consents (consent_id), account_id varchar not null,
    primary key (consent_id, account_id));
create table attempts (attempt_id varchar not null primary key,
    consent_id varchar not null references consents (consent_id), kind varchar not null, started_at varchar not null,
    finished_at varchar, outcome varchar, command_id varchar, since varchar);
create index ix_attempts_consent_id on attempts (consent_id);
create table audit (entry {serial} primary key, at varchar not null, who varchar not null, consent_id varchar not null,
    what varchar not null, outcome varchar not null);
create index ix_audit_consent_id on audit (consent_id);
create table keys (name varchar not null primary key, sealed_key {bytes} not null);
insert into consents (consent_id, source, institution, access_mode, status, created_at, last_import_at)
    values ('c-old', 'kontomatik', 'KontoBank', 'MULTIPLE', 'active', '2026-02-01T12:00:00.000000Z',
    '2026-03-01T09:00:00.000000Z');
insert into consent_accounts values ('c-old', 'account-1');
insert into attempts (attempt_id, consent_id, kind, started_at, outcome, command_id)
    values ('a-1', 'c-old', 'reuse', '2026-03-01T09:00:00.000000Z', 'done', 'command-1');
insert into audit (at, who, consent_id, what, outcome)
    values ('2026-02-01T12:00:00.000000Z', 'ada', 'c-old', 'added', 'active');
"""
_TRIGGERS = {
    "sqlite": (
        "create trigger audit_no_update before update on audit begin select raise(abort, 'the audit trail is append-only'); end",
        "create trigger audit_no_delete before delete on audit begin select raise(abort, 'the audit trail is append-only'); end",
    ),
    "postgresql": (
        "create function audit_is_append_only() returns trigger language plpgsql as"
        " $$ begin raise exception 'the audit trail is append-only'; end $$",
        "create trigger audit_append_only before update or delete on audit for each row execute function audit_is_append_only()",
    ),
}
_TYPES = {
    "sqlite": {"bytes": "blob", "serial": "integer not null"},
    "postgresql": {"bytes": "bytea", "serial": "serial"},
}


def make_old(path: Path, url: str | None) -> None:
    """Makes one."""
    engine = sql.create_engine(url or f"sqlite:///{path}")
    with engine.begin() as connection:
        tables = _TABLES.format(**_TYPES[engine.dialect.name])
        for statement in (*tables.split(";\n")[:-1], *_TRIGGERS[engine.dialect.name]):
            connection.exec_driver_sql(statement)
    engine.dispose()
