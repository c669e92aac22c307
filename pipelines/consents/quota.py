"""Counts imports as the banks do: each is on record before its request, and an account has a limited number in 24 hours.

All consents that read an account share its quota (vendor), so their attempts are counted together.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sql

from pipelines.consents.database import Database, as_instant
from pipelines.consents.tables import attempts, consent_accounts, consents, refusals
from pipelines.store.sql import as_text

WINDOW = timedelta(hours=24)
KEPT = 2 * WINDOW
"""An attempt is removed when it is older than this: a clock that was ahead for hours removes none that still counts."""
_REMOVED_AT_ONCE = 10_000
MAY_BE_AHEAD = timedelta(minutes=10)
"""A wrong clock has recorded an attempt that lies further ahead of now than this; such an attempt blocks nothing."""
DONE = "done"
"""The outcome of an attempt whose answer is in raw history."""
NEVER_SENT = "never sent"
"""The outcome of an attempt whose request did not leave this machine: it spends nothing."""
REFUSED = "refused: "
"""Begins the outcome of an attempt that the bank refused before it began an import: that spends nothing either."""


@dataclass(frozen=True)
class Quota:
    """The imports left of one consent's accounts, and when the next one is possible if none is left."""

    left: int
    next_at: datetime | None
    by_bank: bool = False
    """Whether the bank itself has said that none is left."""


class NoneLeft(Exception):
    """No import is left that may be spent; the next one is possible at `next_at`."""

    def __init__(self, quota: Quota) -> None:
        self.next_at = quota.next_at
        self.by_bank = quota.by_bank
        super().__init__("no import is left")


@dataclass(frozen=True)
class Attempt:
    """An import that the bank accepted."""

    attempt_id: str
    command_id: str
    since: date | None
    started_at: datetime


class QuotaCounter:
    """Records import attempts in the vault's database and counts them: `vault.quota`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin_attempt(
        self,
        consent_id: str,
        kind: str,
        since: date | None,
        now: datetime,
        *,
        per_day: int | None = None,
    ) -> str:
        """Records that an import is about to be spent; returns the attempt's id. Call it before the request.

        `since` is the first day that the answer will cover; None when everything is asked for. With `per_day`, counting and
        writing are one step: raises `NoneLeft` when that many are spent already, even if another process spends them now, or
        when the bank has said that none is possible yet.
        """
        attempt_id = f"a-{secrets.token_hex(6)}"
        values = {"attempt_id": attempt_id, "consent_id": consent_id, "kind": kind, "started_at": as_text(now)}
        with self._database.transaction() as connection:
            # First the consent, or its list of accounts may change. Then its accounts: who shares one waits here.
            self._database.lock(connection, [consent_lock(consent_id)])
            accounts = self._accounts(connection, consent_id)
            self._database.lock(connection, [f"account {account_id}" for account_id in accounts])
            if per_day is not None:
                quota = self._remaining(connection, consent_id, per_day, now)
                if not quota.left:
                    raise NoneLeft(quota)
            connection.execute(attempts.insert().values(**values, since=since.isoformat() if since else None))
        return attempt_id

    def note_command(self, attempt_id: str, command_id: str, now: datetime) -> None:
        """Records the id under which the bank accepted the attempt. Its 24 hours count from here: the bank's began no later."""
        change = attempts.update().where(attempts.c.attempt_id == attempt_id)
        self._database.write(change.values(command_id=command_id, started_at=as_text(now)))

    def end_attempt(self, attempt_id: str, outcome: str, now: datetime) -> None:
        """Records how an attempt ended: `done` once its answer is in raw history, else an error's name.

        Until then it can be resumed.
        """
        change = attempts.update().where(attempts.c.attempt_id == attempt_id)
        self._database.write(change.values(outcome=outcome, finished_at=as_text(now)))

    def unfinished(self, consent_id: str, now: datetime) -> Attempt | None:
        """Returns the latest attempt if the bank accepted it, its answer is not loaded, and the answer can still be fetched.

        Kontomatik keeps results for 24 hours. Asking again by command id spends nothing.
        """
        return self.all_unfinished([consent_id], now).get(consent_id)

    def all_unfinished(self, consent_ids: Sequence[str], now: datetime) -> dict[str, Attempt]:
        """Returns the unfinished attempt of each of these consents that has one, in one query."""
        dated = attempts.c.started_at.between(as_text(now - WINDOW), as_text(now + MAY_BE_AHEAD))
        query = sql.select(attempts).where(attempts.c.consent_id.in_(consent_ids), dated)
        latest = {  # the last one of a consent stays
            row.consent_id: row
            for row in self._database.read(query.order_by(attempts.c.started_at, attempts.c.attempt_id.desc()))
        }
        return {
            consent_id: Attempt(
                row.attempt_id, row.command_id, date.fromisoformat(row.since) if row.since else None, as_instant(row.started_at)
            )
            for consent_id, row in latest.items()
            if row.command_id is not None and row.outcome is None
        }

    def tried(self, consent_id: str) -> bool:
        """Returns whether the bank may have begun any import of this consent."""
        answered = attempts.c.command_id.is_not(None) | (attempts.c.outcome.is_not(None) & _counts())
        return bool(
            self._database.read(sql.select(attempts.c.attempt_id).where(attempts.c.consent_id == consent_id, answered).limit(1))
        )

    def fell_short(self, consent_id: str, since: date, now: datetime) -> bool:
        """Returns whether an import from `since` or an earlier day on has failed at the bank in the last 24 hours."""
        failed = attempts.c.outcome.is_not(None) & (attempts.c.outcome != DONE) & _counts()
        reached = attempts.c.since.is_(None) | (attempts.c.since <= since.isoformat())
        recent = (attempts.c.consent_id == consent_id) & (attempts.c.started_at > as_text(now - WINDOW))
        return bool(self._database.read(sql.select(attempts.c.attempt_id).where(recent, failed, reached).limit(1)))

    def note_refusal(self, consent_id: str, now: datetime, wait: float | None = None) -> None:
        """Records the bank's answer that the quota is used up. `wait` is the seconds that the bank asks for, if it does.

        Without `wait` the next import is possible when the oldest of our imports is 24 hours old. If none of ours counts, others
        have spent them: then it is possible in 24 hours.
        """
        with self._database.transaction() as connection:
            self._database.lock(connection, [consent_lock(consent_id)])
            spent = max(self._spent(connection, self._sharing(connection, consent_id), now), key=len)
            next_at = (spent[0] if spent else now) + WINDOW
            if wait is not None:
                next_at = min(now + timedelta(seconds=wait), now + WINDOW)
            connection.execute(refusals.delete().where(refusals.c.consent_id == consent_id))
            refusal = {"consent_id": consent_id, "refused_at": as_text(now), "next_at": as_text(next_at)}
            connection.execute(refusals.insert().values(**refusal))

    def remove_old(self, now: datetime) -> None:
        """Removes attempts that no quota counts any more, at most 10,000 at once. `now` is known to be right.

        That imports were made stays on record: in raw history, and as the consent's last import.
        """
        old = sql.select(attempts.c.attempt_id).where(attempts.c.started_at < as_text(now - KEPT)).limit(_REMOVED_AT_ONCE)
        if self._database.read(old.limit(1)):  # most runs write nothing
            mine = old.with_for_update(skip_locked=True)  # two processes that remove the same rows would wait in a circle
            self._database.write(attempts.delete().where(attempts.c.attempt_id.in_(mine)))

    def remaining(self, consent_id: str, per_day: int, now: datetime) -> Quota:
        """Returns the imports left in the rolling 24 hours for this consent's busiest account, over all consents that read it.

        After a refusal by the bank none is left until the time that followed from it, whatever we have counted.
        Before its first import a renewed consent counts as reading the accounts of the one that it replaces.
        """
        with self._database.reading() as connection:
            return self._remaining(connection, consent_id, per_day, now)

    def _remaining(self, connection: sql.Connection, consent_id: str, per_day: int, now: datetime) -> Quota:
        groups = self._sharing(connection, consent_id)
        busiest = max(self._spent(connection, groups, now), key=len)
        none_left = len(busiest) >= per_day
        next_at = busiest[len(busiest) - per_day] + WINDOW if none_left and per_day else None
        refused_until = sql.select(sql.func.max(refusals.c.next_at)).where(refusals.c.consent_id.in_(set[str]().union(*groups)))
        latest = as_text(now + WINDOW + MAY_BE_AHEAD)  # a later one was written down by a clock that was wrong
        until = connection.execute(refused_until.where(refusals.c.next_at > as_text(now), refusals.c.next_at <= latest)).scalar()
        if until is not None and (next_at is None or as_instant(until) > next_at):
            return Quota(0, as_instant(until), by_bank=True)
        return Quota(0, next_at) if none_left else Quota(per_day - len(busiest), None)

    def _accounts(self, connection: sql.Connection, consent_id: str) -> list[str]:
        """Returns the accounts of this consent, or of the one that it replaces while its own are not known."""
        before = sql.select(consents.c.replaces).where(consents.c.consent_id == consent_id).scalar_subquery()
        for reader in (consent_id, before):
            known = sql.select(consent_accounts.c.account_id).where(consent_accounts.c.consent_id == reader)
            if found := list(connection.execute(known).scalars()):
                return found
        return []

    def _sharing(self, connection: sql.Connection, consent_id: str) -> list[set[str]]:
        """Returns for each account of this consent the consents that read it, and last this consent alone."""
        accounts = self._accounts(connection, consent_id)
        sharing = sql.select(consent_accounts).where(consent_accounts.c.account_id.in_(accounts))
        by_account: dict[str, set[str]] = {}
        for row in connection.execute(sharing) if accounts else ():
            by_account.setdefault(row.account_id, {consent_id}).add(row.consent_id)
        return [*by_account.values(), {consent_id}]

    def _spent(self, connection: sql.Connection, groups: list[set[str]], now: datetime) -> list[list[datetime]]:
        """Returns for each group of consents when its imports of the last 24 hours began, oldest first."""
        recent = sql.select(attempts.c.consent_id, attempts.c.started_at).where(
            attempts.c.consent_id.in_(set[str]().union(*groups)),
            attempts.c.started_at > as_text(now - WINDOW),
            attempts.c.started_at <= as_text(now + MAY_BE_AHEAD),
            _counts(),
        )
        spent = [(row.consent_id, as_instant(row.started_at)) for row in connection.execute(recent)]
        return [sorted(at for consent, at in spent if consent in group) for group in groups]


def consent_lock(consent_id: str) -> str:
    """Returns the name of the lock under which a consent's accounts and imports change; it is taken before those of accounts."""
    return f"consent {consent_id}"


def _counts() -> sql.ColumnElement[bool]:
    """Returns the condition that is true for an attempt that the bank may have counted."""
    outcome = attempts.c.outcome
    return outcome.is_(None) | ((outcome != NEVER_SENT) & outcome.not_like(f"{REFUSED}%"))
