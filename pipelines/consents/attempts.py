"""Imports as the banks count them: each on record before its call, at most so many in 24 hours and bank account.

An account's quota is shared by all consents that read it (vendor), so attempts are counted over all of them.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sql

from pipelines.consents.vault import Store, as_instant, as_text, attempts, consent_accounts

WINDOW = timedelta(hours=24)


@dataclass(frozen=True)
class Quota:
    """What is left of the imports of one consent's accounts, and when the next one is possible if nothing is."""

    left: int
    next_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """An import that the bank accepted."""

    attempt_id: str
    command_id: str
    since: date | None
    started_at: datetime


class Attempts(Store):
    """The part of the vault that counts."""

    def begin_attempt(self, consent_id: str, kind: str, since: date | None, now: datetime) -> str:
        """Write down that one of the quota's imports is about to be spent. Call it before the request.

        `since` is the first day that the answer will cover; None when everything is asked for.
        """
        attempt_id = f"a-{secrets.token_hex(6)}"
        values = {"attempt_id": attempt_id, "consent_id": consent_id, "kind": kind, "started_at": as_text(now)}
        self.write(attempts.insert().values(**values, since=since.isoformat() if since else None))
        return attempt_id

    def note_command(self, attempt_id: str, command_id: str) -> None:
        """The bank accepted the attempt under this id."""
        self.write(attempts.update().where(attempts.c.attempt_id == attempt_id).values(command_id=command_id))

    def end_attempt(self, attempt_id: str, outcome: str, now: datetime) -> None:
        """How it ended: `done` once its answer is in raw history, or an error's name. Until then it can be resumed."""
        change = attempts.update().where(attempts.c.attempt_id == attempt_id)
        self.write(change.values(outcome=outcome, finished_at=as_text(now)))

    def unfinished(self, consent_id: str, now: datetime) -> Attempt | None:
        """The latest attempt, if the bank accepted it, its answer has not been loaded, and can still be asked for.

        Kontomatik keeps results for 24 hours. Asking again by command id spends nothing.
        """
        query = sql.select(attempts).where(attempts.c.consent_id == consent_id)
        row = next(iter(self.read(query.order_by(attempts.c.started_at.desc(), attempts.c.attempt_id).limit(1))), None)
        if row is None or row.command_id is None or row.outcome is not None or as_instant(row.started_at) < now - WINDOW:
            return None
        return Attempt(
            row.attempt_id, row.command_id, date.fromisoformat(row.since) if row.since else None, as_instant(row.started_at)
        )

    def covers(self, consent_id: str, account_ids: Iterable[str]) -> None:
        """Remember which accounts a consent reads."""
        rows = [{"consent_id": consent_id, "account_id": account_id} for account_id in sorted(set(account_ids))]
        with self.transaction() as connection:
            connection.execute(consent_accounts.delete().where(consent_accounts.c.consent_id == consent_id))
            if rows:
                connection.execute(consent_accounts.insert(), rows)

    def accounts_of(self, consent_id: str) -> list[str]:
        """The accounts that a consent was seen to cover, sorted."""
        query = sql.select(consent_accounts.c.account_id).where(consent_accounts.c.consent_id == consent_id)
        return sorted(row.account_id for row in self.read(query))

    def readers_of(self, account_id: str) -> list[str]:
        """The consents that were seen to cover an account, sorted."""
        query = sql.select(consent_accounts.c.consent_id).where(consent_accounts.c.account_id == account_id)
        return sorted(row.consent_id for row in self.read(query))

    def quota(self, consent_id: str, per_day: int, now: datetime) -> Quota:
        """Imports left in the rolling 24 hours for the busiest account of this consent, over all consents that read it."""
        mine, other = consent_accounts.alias(), consent_accounts.alias()
        sharing = sql.select(mine.c.account_id, other.c.consent_id).where(
            mine.c.consent_id == consent_id, other.c.account_id == mine.c.account_id
        )
        by_account: dict[str, set[str]] = {}
        for row in self.read(sharing):
            by_account.setdefault(row.account_id, set()).add(row.consent_id)
        recent = sql.select(attempts.c.consent_id, attempts.c.started_at).where(attempts.c.started_at > as_text(now - WINDOW))
        spent = [(row.consent_id, as_instant(row.started_at)) for row in self.read(recent)]
        groups = [*by_account.values(), {consent_id}]
        busiest = max((sorted(at for consent, at in spent if consent in group) for group in groups), key=len)
        if len(busiest) < per_day:
            return Quota(per_day - len(busiest), None)
        return Quota(0, busiest[len(busiest) - per_day] + WINDOW if per_day else None)
