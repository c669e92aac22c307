"""Chooses the consents that a scheduled run imports through: due ones, and only one of several that read the same accounts.

A bank account has four imports in 24 hours, whoever spends them. Two consents that read the same one, or runs that have piled
up, would spend them within minutes and leave the account unread for a day.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sql

from pipelines.consents.database import as_instant
from pipelines.consents.quota import MAY_BE_AHEAD
from pipelines.consents.tables import consent_accounts, consents

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault

Found = TypeVar("Found")

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
AT_ONCE = 1_000
"""Consents in one query: a database takes a limited number of values."""


def due(
    vault: "Vault", stored: "Collection[Consent]", after: timedelta, now: datetime
) -> "tuple[list[Consent], list[tuple[Consent, str]]]":
    """Returns the consents that are due, the one with the stalest account first, and the skipped ones with the reason.

    Due is a consent that was never imported, or has an import that can be resumed, or reads an account whose last import,
    through whichever consent, is at least `after` ago. Of several that read it the one that was used last is used again.
    """
    last = _in_parts(lambda part: _last_reads(vault, part), [one.consent_id for one in stored])

    def urgency(consent: "Consent") -> tuple[datetime, float]:
        stalest = min(last[consent.consent_id].values(), default=NEVER)
        return stalest, -(consent.last_import_at or NEVER).timestamp()

    resumable = _in_parts(lambda part: vault.quota.all_unfinished(part, now), list(last))
    latest = now + MAY_BE_AHEAD
    chosen: list[Consent] = []
    others: list[tuple[Consent, str]] = []
    read: set[str] = set()
    for consent in sorted(stored, key=urgency):
        accounts = last[consent.consent_id]
        stale = {account for account, moment in accounts.items() if moment <= now - after or moment > latest}
        if consent.last_import_at is None or not accounts or stale - read or consent.consent_id in resumable:
            chosen.append(consent)
            read |= set(accounts)
        elif stale:
            others.append((consent, "not due: its accounts are read through another consent in this run"))
        else:
            others.append((consent, f"not due: its accounts were read at {min(accounts.values()):%Y-%m-%d %H:%M} UTC"))
    return chosen, others


def _last_reads(vault: "Vault", consent_ids: Sequence[str]) -> dict[str, dict[str, datetime]]:
    """Returns for each consent its accounts, each with its last import through whichever consent, in one query.

    In a cell of a fleet only its own consents count: what another cell has read is not in this cell's raw history.
    """
    mine, other, reader = consent_accounts.alias(), consent_accounts.alias(), consents.alias()
    reads = (
        sql.select(mine.c.consent_id, mine.c.account_id, sql.func.max(reader.c.last_import_at).label("read_at"))
        .join(other, other.c.account_id == mine.c.account_id)
        .join(reader, reader.c.consent_id == other.c.consent_id)
        .where(mine.c.consent_id.in_(consent_ids), vault.scope.same_cell(reader))
        .group_by(mine.c.consent_id, mine.c.account_id)
    )
    found: dict[str, dict[str, datetime]] = {consent_id: {} for consent_id in consent_ids}
    for row in vault.database.read(reads):
        found[row.consent_id][row.account_id] = as_instant(row.read_at) if row.read_at else NEVER
    return found


def _in_parts(ask: Callable[[Sequence[str]], dict[str, Found]], consent_ids: Sequence[str]) -> dict[str, Found]:
    """Returns the answers for all consents, asked for `AT_ONCE` at a time."""
    found: dict[str, Found] = {}
    for begin in range(0, len(consent_ids), AT_ONCE):
        found |= ask(consent_ids[begin : begin + AT_ONCE])
    return found
