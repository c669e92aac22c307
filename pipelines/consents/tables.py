"""The tables of the vault.

A later version only adds to them: a table, a column that may be null, an index. So programs of several versions can share one
vault, and `schema.py` can compute what an older vault lacks.
"""

import sqlalchemy as sql

metadata = sql.MetaData()
OF_A_FLEET: dict[str, str] = {"dialect": "postgresql"}
"""Marks what only a fleet uses, whose vault is in PostgreSQL: a vault in a file has no such tables and indexes."""

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
    sql.Column("cell", sql.String),
    sql.Column("customer", sql.String),
    sql.Index("ix_consents_cell", "cell", info=OF_A_FLEET),
    sql.Index("ix_consents_customer", "customer", info=OF_A_FLEET),
)
consent_accounts = sql.Table(
    "consent_accounts",
    metadata,
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), primary_key=True),
    sql.Column("account_id", sql.String, primary_key=True, index=True),
)
attempts = sql.Table(
    "attempts",
    metadata,
    sql.Column("attempt_id", sql.String, primary_key=True),
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), nullable=False),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("started_at", sql.String, nullable=False, index=True),
    sql.Column("finished_at", sql.String),
    sql.Column("outcome", sql.String),
    sql.Column("command_id", sql.String),
    sql.Column("since", sql.String),
    sql.Index("ix_attempts_consent_id_started_at", "consent_id", "started_at"),
)
"""Imports by the time at which they were spent. Those that no quota counts any more are removed."""
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
closings = sql.Table(
    "closings",
    metadata,
    sql.Column("entry", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("history_id", sql.String, nullable=False),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("at", sql.String, nullable=False),
    sql.Column("who", sql.String, nullable=False),
    sql.Column("what", sql.String, nullable=False),
    sql.Column("month", sql.String, nullable=False),
    sql.Column("reason", sql.String, nullable=False),
    sql.Column("figures_sha256", sql.String, nullable=False),
    sql.Column("previous", sql.String, nullable=False),
    sql.Column("hash", sql.String, nullable=False),
    sql.Index("ix_closings_history_id_number", "history_id", "number", unique=True),
)
"""The trail of closed and reopened months of each raw history: a chain, each record with the hash of the one before. Rows are
only ever added, as in `audit`. It names no account and holds no amount."""
closing_figures = sql.Table(
    "closing_figures",
    metadata,
    sql.Column("hash", sql.String, primary_key=True),
    sql.Column("account_id", sql.String, nullable=False, index=True),
    sql.Column("figures", sql.String, nullable=False),
)
"""The figures that a record of `closings` is about, by its hash, until the account is erased: the chain holds without them."""
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
cells = sql.Table(
    "cells",
    metadata,
    sql.Column("cell", sql.String, primary_key=True),
    sql.Column("lease", sql.String),
    sql.Column("holder", sql.String),
    sql.Column("beat_at", sql.DateTime(timezone=True)),
    sql.Column("version", sql.Integer),
    sql.Column("object", sql.String),
    sql.Column("digest", sql.String),
    sql.Column("object_before", sql.String),
    sql.Column("erased_version", sql.Integer),
    sql.Column("ended_at", sql.DateTime(timezone=True)),
    sql.Column("status", sql.Integer),
    sql.Column("trouble", sql.String),
    sql.Column("failures", sql.Integer),
    sql.Column("retry_at", sql.DateTime(timezone=True)),
    info=OF_A_FLEET,
)
"""The data directories of a fleet: who works on each and gave the last sign of life; the version of its history, the object in
the store that holds it with its SHA-256, the object before, the version of the last erasure; how its last run ended; how many
runs have failed in a row, and when the next one may begin. Times are the server's. Empty without a fleet."""
customers = sql.Table(
    "customers",
    metadata,
    sql.Column("customer", sql.String, primary_key=True),
    sql.Column("cell", sql.ForeignKey("cells.cell"), nullable=False, index=True),
    info=OF_A_FLEET,
)
"""The cell of each customer of a fleet, by the platform's own id, until all the customer's consents are erased."""
