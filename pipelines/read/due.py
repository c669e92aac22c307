"""Chooses the consents that a scheduled run imports through: due ones, and only one of several that read the same accounts.

A bank account has four imports in 24 hours, whoever spends them. Two consents that read the same one, or runs that have piled
up, would spend them within minutes and leave the account unread for a day.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.consents.quota import MAY_BE_AHEAD

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def due(
    vault: "Vault", consents: "Collection[Consent]", after: timedelta, now: datetime
) -> "tuple[list[Consent], list[tuple[Consent, str]]]":
    """Returns the consents that are due, the one with the stalest account first, and the skipped ones with the reason.

    Due is a consent that was never imported, or has an import that can be resumed, or reads an account whose last import,
    through whichever consent, is at least `after` ago. Of several that read it the one that was used last is used again.
    """
    used = {one.consent_id: one.last_import_at or NEVER for one in vault.consents()}
    last = {
        one.consent_id: {
            account: max((used[reader] for reader in vault.readers_of(account)), default=NEVER)
            for account in vault.accounts_of(one.consent_id)
        }
        for one in consents
    }

    def urgency(consent: "Consent") -> tuple[datetime, float]:
        stalest = min(last[consent.consent_id].values(), default=NEVER)
        return stalest, -(consent.last_import_at or NEVER).timestamp()

    latest = now + MAY_BE_AHEAD
    chosen: list[Consent] = []
    others: list[tuple[Consent, str]] = []
    read: set[str] = set()
    for consent in sorted(consents, key=urgency):
        accounts = last[consent.consent_id]
        stale = {account for account, moment in accounts.items() if moment <= now - after or moment > latest}
        if consent.last_import_at is None or not accounts or stale - read or vault.quota.unfinished(consent.consent_id, now):
            chosen.append(consent)
            read |= set(accounts)
        elif stale:
            others.append((consent, "not due: its accounts are read through another consent in this run"))
        else:
            others.append((consent, f"not due: its accounts were read at {min(accounts.values()):%Y-%m-%d %H:%M} UTC"))
    return chosen, others
