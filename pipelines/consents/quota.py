"""Imports as the banks count them: each on record before its call, at most so many in 24 hours and bank account.

An account's quota is shared by all consents that read it (vendor), so attempts are counted over all of them.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sql

from pipelines.consents.database import Store, as_instant, as_text, attempts, consent_accounts, consents, refusals

WINDOW = timedelta(hours=24)
MAY_BE_AHEAD = timedelta(minutes=10)
"""An attempt that is dated later than this from now was written down by a clock that was wrong, and blocks nothing."""
DONE = "done"
"""The outcome of an attempt whose answer is in raw history."""
NEVER_SENT = "never sent"
"""The outcome of an attempt whose request did not leave this machine: it spends nothing."""
REFUSED = "refused: "
"""Begins the outcome of an attempt that the bank refused before it began an import: that spends nothing either."""


@dataclass(frozen=True)
class Quota:
    """What is left of the imports of one consent's accounts, and when the next one is possible if nothing is."""

    left: int
    next_at: datetime | None
    by_bank: bool = False
    """Whether it is the bank's own word that nothing is left, and not our count."""


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


class Attempts(Store):
    """The part of the vault that counts."""

    def begin_attempt(
        self,
        consent_id: str,
        kind: str,
        since: date | None,
        now: datetime,
        *,
        per_day: int | None = None,
    ) -> str:
        """Write down that one of the quota's imports is about to be spent. Call it before the request.

        `since` is the first day that the answer will cover; None when everything is asked for. With `per_day`, counting and
        writing are one step: raises `NoneLeft` when so many are spent already, whoever else spends them now, or when the bank has
        said that none is possible yet.
        """
        attempt_id = f"a-{secrets.token_hex(6)}"
        values = {"attempt_id": attempt_id, "consent_id": consent_id, "kind": kind, "started_at": as_text(now)}
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("lock table attempts in share row exclusive mode")
            if per_day is not None:
                quota = self._quota(connection, consent_id, per_day, now)
                if not quota.left:
                    raise NoneLeft(quota)
            connection.execute(attempts.insert().values(**values, since=since.isoformat() if since else None))
        return attempt_id

    def note_command(self, attempt_id: str, command_id: str, now: datetime) -> None:
        """The bank accepted the attempt under this id. Its 24 hours are counted from here: the bank's began no later."""
        change = attempts.update().where(attempts.c.attempt_id == attempt_id)
        self.write(change.values(command_id=command_id, started_at=as_text(now)))

    def end_attempt(self, attempt_id: str, outcome: str, now: datetime) -> None:
        """How it ended: `done` once its answer is in raw history, or an error's name. Until then it can be resumed."""
        change = attempts.update().where(attempts.c.attempt_id == attempt_id)
        self.write(change.values(outcome=outcome, finished_at=as_text(now)))

    def unfinished(self, consent_id: str, now: datetime) -> Attempt | None:
        """The latest attempt, if the bank accepted it, its answer has not been loaded, and can still be asked for.

        Kontomatik keeps results for 24 hours. Asking again by command id spends nothing.
        """
        dated = attempts.c.started_at <= as_text(now + MAY_BE_AHEAD)
        query = sql.select(attempts).where(attempts.c.consent_id == consent_id, dated)
        row = next(iter(self.read(query.order_by(attempts.c.started_at.desc(), attempts.c.attempt_id).limit(1))), None)
        if row is None or row.command_id is None or row.outcome is not None or as_instant(row.started_at) < now - WINDOW:
            return None
        return Attempt(
            row.attempt_id, row.command_id, date.fromisoformat(row.since) if row.since else None, as_instant(row.started_at)
        )

    def tried(self, consent_id: str) -> bool:
        """Whether an import of this consent came so far that the bank may have begun it."""
        answered = attempts.c.command_id.is_not(None) | (attempts.c.outcome.is_not(None) & _counts())
        return bool(self.read(sql.select(attempts.c.attempt_id).where(attempts.c.consent_id == consent_id, answered).limit(1)))

    def fell_short(self, consent_id: str, since: date, now: datetime) -> bool:
        """Whether an import from `since` or an earlier day on has failed at the bank in the last 24 hours."""
        failed = attempts.c.outcome.is_not(None) & (attempts.c.outcome != DONE) & _counts()
        reached = attempts.c.since.is_(None) | (attempts.c.since <= since.isoformat())
        recent = (attempts.c.consent_id == consent_id) & (attempts.c.started_at > as_text(now - WINDOW))
        return bool(self.read(sql.select(attempts.c.attempt_id).where(recent, failed, reached).limit(1)))

    def refused(self, consent_id: str, now: datetime, wait: float | None = None) -> None:
        """Remember the bank's word that the quota is used up. `wait` is how many seconds the bank asks for, if it does.

        Otherwise the next import is possible when the oldest of ours in 24 hours is no longer counted; if none of ours is, others
        have spent them, in the last 24 hours.
        """
        with self.transaction() as connection:
            spent = max(self._spent(connection, self._sharing(connection, consent_id), now), key=len)
            next_at = (spent[0] if spent else now) + WINDOW
            if wait is not None:
                next_at = min(now + timedelta(seconds=wait), now + WINDOW)
            connection.execute(refusals.delete().where(refusals.c.consent_id == consent_id))
            told = {"consent_id": consent_id, "refused_at": as_text(now), "next_at": as_text(next_at)}
            connection.execute(refusals.insert().values(**told))

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
        """Imports left in the rolling 24 hours for the busiest account of this consent, over all consents that read it.

        None is left until the time that followed from the bank's own refusal, whatever we have counted.
        Before its first import a renewed consent is taken to read what the one before it reads.
        """
        with self.reading() as connection:
            return self._quota(connection, consent_id, per_day, now)

    def _quota(self, connection: sql.Connection, consent_id: str, per_day: int, now: datetime) -> Quota:
        groups = self._sharing(connection, consent_id)
        busiest = max(self._spent(connection, groups, now), key=len)
        none_left = len(busiest) >= per_day
        next_at = busiest[len(busiest) - per_day] + WINDOW if none_left and per_day else None
        told = sql.select(sql.func.max(refusals.c.next_at)).where(refusals.c.consent_id.in_(set[str]().union(*groups)))
        latest = as_text(now + WINDOW + MAY_BE_AHEAD)  # a later one was written down by a clock that was wrong
        until = connection.execute(told.where(refusals.c.next_at > as_text(now), refusals.c.next_at <= latest)).scalar()
        if until is not None and (next_at is None or as_instant(until) > next_at):
            return Quota(0, as_instant(until), by_bank=True)
        return Quota(0, next_at) if none_left else Quota(per_day - len(busiest), None)

    def _sharing(self, connection: sql.Connection, consent_id: str) -> list[set[str]]:
        """For each account of this consent the consents that read it, and last this consent alone."""
        mine, other = consent_accounts.alias(), consent_accounts.alias()
        known = sql.select(consent_accounts.c.account_id).where(consent_accounts.c.consent_id == consent_id)
        before = sql.select(consents.c.replaces).where(consents.c.consent_id == consent_id).scalar_subquery()
        reads = mine.c.consent_id == (consent_id if connection.execute(known).first() else before)
        sharing = sql.select(mine.c.account_id, other.c.consent_id).where(reads, other.c.account_id == mine.c.account_id)
        by_account: dict[str, set[str]] = {}
        for row in connection.execute(sharing):
            by_account.setdefault(row.account_id, {consent_id}).add(row.consent_id)
        return [*by_account.values(), {consent_id}]

    def _spent(self, connection: sql.Connection, groups: list[set[str]], now: datetime) -> list[list[datetime]]:
        """For each group of consents when its imports of the last 24 hours began, oldest first."""
        recent = sql.select(attempts.c.consent_id, attempts.c.started_at).where(
            attempts.c.started_at > as_text(now - WINDOW), attempts.c.started_at <= as_text(now + MAY_BE_AHEAD), _counts()
        )
        spent = [(row.consent_id, as_instant(row.started_at)) for row in connection.execute(recent)]
        return [sorted(at for consent, at in spent if consent in group) for group in groups]


def _counts() -> sql.ColumnElement[bool]:
    """True for an attempt that the bank may have counted."""
    outcome = attempts.c.outcome
    return outcome.is_(None) | ((outcome != NEVER_SENT) & outcome.not_like(f"{REFUSED}%"))
