"""`vault.sqlite`: consents with their encrypted tokens, and every attempt that spends a bank's quota.

A token is encrypted before it touches the disk and decrypted only for the request that needs it. Without a vault key nothing
is stored: there is no fallback key. Attempts are written before the call that they stand for, so that a crash can lose an
answer but never the knowledge that it was asked for.
"""

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy.exc import DBAPIError

from pipelines.errors import Failure, WrongUsage

CONSENT_DAYS = 180
"""A Multiple Access consent lasts up to 180 days (vendor); no call tells the real end, so we count from its creation."""
QUOTA_WINDOW = timedelta(hours=24)

_metadata = sql.MetaData()

_consents = sql.Table(
    "consents",
    _metadata,
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
    sql.Column("sealed_token", sql.LargeBinary),
)
_consent_accounts = sql.Table(
    "consent_accounts",
    _metadata,
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), primary_key=True),
    sql.Column("account_id", sql.String, primary_key=True),
)
_attempts = sql.Table(
    "attempts",
    _metadata,
    sql.Column("attempt_id", sql.String, primary_key=True),
    sql.Column("consent_id", sql.ForeignKey("consents.consent_id"), nullable=False, index=True),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("started_at", sql.String, nullable=False),
    sql.Column("finished_at", sql.String),
    sql.Column("outcome", sql.String),
    sql.Column("command_id", sql.String),
    sql.Column("since", sql.String),
)


class VaultBroken(Failure):
    """The vault cannot be opened, read or decrypted."""


@dataclass(frozen=True)
class Consent:
    """One consent without its token. `status`: `pending` (no token yet), `active`, `expired`."""

    consent_id: str
    source: str
    institution: str
    target: str | None
    access_mode: str
    owner_external_id: str | None
    status: str
    created_at: datetime
    expires_at: datetime | None

    def days_left(self, now: datetime) -> int | None:
        """Whole days until it ends; 0 on the last day and after."""
        return None if self.expires_at is None else max(0, (self.expires_at - now).days)


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


class Vault:
    """The registry in `path`. Open one per process and share it; every call is a transaction of its own."""

    def __init__(self, path: Path, key: str | None) -> None:
        self._path = path
        self._key = key
        try:
            _create_private(path)
            self._engine = sql.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
            with self._engine.begin() as connection:
                connection.exec_driver_sql("PRAGMA synchronous = FULL")
                _metadata.create_all(connection)
        except (DBAPIError, OSError) as error:
            raise VaultBroken(
                f"The vault {path} cannot be opened ({error.__class__.__name__})",
                "Check that it is a SQLite file of this project, writable by this user, on a disk with space",
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def seal_possible(self) -> None:
        """Raises `WrongUsage` when a token could not be stored: call it before asking a bank for one."""
        self._fernet()

    def add(
        self,
        *,
        source: str,
        institution: str,
        access_mode: str,
        now: datetime,
        token: str | None = None,
        target: str | None = None,
        owner_external_id: str | None = None,
    ) -> Consent:
        """Keep a new consent; `pending` until its token is known. Raises `WrongUsage` without a vault key."""
        sealed = self._sealed(token) if token else None
        consent = Consent(
            consent_id=f"c-{secrets.token_hex(6)}",
            source=source,
            institution=institution,
            target=target,
            access_mode=access_mode,
            owner_external_id=owner_external_id,
            status="active" if token else "pending",
            created_at=now,
            expires_at=now + timedelta(days=CONSENT_DAYS),
        )
        row = consent.__dict__ | {
            "created_at": _text(now),
            "expires_at": _text(now + timedelta(days=CONSENT_DAYS)),
            "sealed_token": sealed,
        }
        self._write(_consents.insert().values(**row))
        return consent

    def keep_token(self, consent_id: str, token: str, *, institution: str | None = None, target: str | None = None) -> None:
        """Store the token that a bank gave; the consent is active from here on."""
        values: dict[str, Any] = {"sealed_token": self._sealed(token), "status": "active", "status_reason": None}
        values |= {"institution": institution} if institution else {}
        values |= {"target": target} if target else {}
        self._write(_consents.update().where(_consents.c.consent_id == consent_id).values(**values))

    def token(self, consent_id: str) -> str:
        """The token in plain, for one request. Raises `VaultBroken` when this key did not seal it."""
        rows = self._read(sql.select(_consents.c.sealed_token).where(_consents.c.consent_id == consent_id))
        if not rows or rows[0].sealed_token is None:
            raise VaultBroken(f"Consent {consent_id} has no token", "Connect the bank again")
        try:
            return self._fernet().decrypt(rows[0].sealed_token).decode()
        except InvalidToken:
            raise VaultBroken(
                f"The token of consent {consent_id} cannot be decrypted with this vault key",
                "Set pipelines.vault_key to the key that it was stored with",
            ) from None

    def consents(self, *, source: str | None = None, status: Sequence[str] = ()) -> list[Consent]:
        """All consents, oldest first, narrowed to a source and to states."""
        query = sql.select(_consents).order_by(_consents.c.created_at, _consents.c.consent_id)
        if source:
            query = query.where(_consents.c.source == source)
        if status:
            query = query.where(_consents.c.status.in_(status))
        return [_consent(row) for row in self._read(query)]

    def mark(self, consent_id: str, status: str, reason: str) -> None:
        """Note what became of a consent; `reason` is a code or a short sentence, never a bank's answer."""
        change = _consents.update().where(_consents.c.consent_id == consent_id)
        self._write(change.values(status=status, status_reason=reason))

    def begin_attempt(self, consent_id: str, kind: str, since: date | None, now: datetime) -> str:
        """Write down that one of the quota's imports is about to be spent. Call it before the request.

        `since` is the first day that the answer will cover; None when everything is asked for.
        """
        attempt_id = f"a-{secrets.token_hex(6)}"
        values = {"attempt_id": attempt_id, "consent_id": consent_id, "kind": kind, "started_at": _text(now)}
        self._write(_attempts.insert().values(**values, since=since.isoformat() if since else None))
        return attempt_id

    def note_command(self, attempt_id: str, command_id: str) -> None:
        """The bank accepted the attempt under this id."""
        self._write(_attempts.update().where(_attempts.c.attempt_id == attempt_id).values(command_id=command_id))

    def unfinished(self, consent_id: str, now: datetime) -> Attempt | None:
        """The latest attempt, if the bank accepted it, its answer has not been loaded, and can still be asked for.

        Kontomatik keeps results for 24 hours. Asking again by command id spends nothing.
        """
        query = sql.select(_attempts).where(_attempts.c.consent_id == consent_id).order_by(_attempts.c.started_at.desc())
        row = next(iter(self._read(query.limit(1))), None)
        if row is None or row.command_id is None or row.outcome is not None or _instant(row.started_at) < now - QUOTA_WINDOW:
            return None
        since = date.fromisoformat(row.since) if row.since else None
        return Attempt(row.attempt_id, row.command_id, since, _instant(row.started_at))

    def end_attempt(self, attempt_id: str, outcome: str, now: datetime) -> None:
        """How it ended: `done` once its answer is in raw history, or an error's name. Until then it can be resumed."""
        change = _attempts.update().where(_attempts.c.attempt_id == attempt_id)
        self._write(change.values(outcome=outcome, finished_at=_text(now)))

    def covers(self, consent_id: str, account_ids: Iterable[str]) -> None:
        """Remember which accounts a consent reads: they share their quota with every other consent that reads them."""
        self._write(_consent_accounts.delete().where(_consent_accounts.c.consent_id == consent_id))
        rows = [{"consent_id": consent_id, "account_id": account_id} for account_id in sorted(set(account_ids))]
        if rows:
            self._write(_consent_accounts.insert(), rows)

    def accounts_of(self, consent_id: str) -> list[str]:
        """The accounts that a consent was seen to cover, sorted."""
        query = sql.select(_consent_accounts.c.account_id).where(_consent_accounts.c.consent_id == consent_id)
        return sorted(row.account_id for row in self._read(query))

    def quota(self, consent_id: str, per_day: int, now: datetime) -> Quota:
        """Imports left in the rolling 24 hours for the busiest account of this consent, over all consents that read it."""
        mine, other = _consent_accounts.alias(), _consent_accounts.alias()
        sharing = sql.select(mine.c.account_id, other.c.consent_id).where(
            mine.c.consent_id == consent_id, other.c.account_id == mine.c.account_id
        )
        by_account: dict[str, set[str]] = {}
        for row in self._read(sharing):
            by_account.setdefault(row.account_id, set()).add(row.consent_id)
        groups = [*by_account.values(), {consent_id}]
        recent = sql.select(_attempts.c.consent_id, _attempts.c.started_at).where(
            _attempts.c.started_at > _text(now - QUOTA_WINDOW)
        )
        attempts = [(row.consent_id, _instant(row.started_at)) for row in self._read(recent)]
        spent = max(
            (sorted(started for consent, started in attempts if consent in group) for group in groups),
            key=len,
        )
        if len(spent) < per_day:
            return Quota(per_day - len(spent), None)
        return Quota(0, spent[len(spent) - per_day] + QUOTA_WINDOW if per_day else None)

    def _fernet(self) -> Fernet:
        if not self._key:
            raise WrongUsage(
                "No vault key is set, so a bank's token cannot be stored",
                "Print one with `python -m pipelines doctor --new-vault-key` and keep it as pipelines.vault_key in "
                ".dlt/secrets.toml, or as PIPELINES__VAULT_KEY",
            )
        try:
            return Fernet(self._key)
        except ValueError:
            raise WrongUsage(
                "The setting pipelines.vault_key is not a Fernet key (44 characters of URL-safe base64)",
                "Print a fresh one with `python -m pipelines doctor --new-vault-key`",
            ) from None

    def _sealed(self, token: str) -> bytes:
        return self._fernet().encrypt(token.encode())

    def _read(self, query: sql.Select[Any]) -> list[sql.Row[Any]]:
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(query))
        except DBAPIError as error:
            raise self._broken(error) from None

    def _write(self, statement: sql.Executable, rows: list[dict[str, Any]] | None = None) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(statement, rows)
        except DBAPIError as error:
            raise self._broken(error) from None

    def _broken(self, error: DBAPIError) -> VaultBroken:
        # SQLAlchemy's text holds the statement and its values: only the kind of the failure is repeated.
        return VaultBroken(
            f"The vault {self._path} cannot be used ({error.orig.__class__.__name__})",
            "Check the disk's space and that the file is writable; restore it from a backup if it is damaged",
        )


def new_key() -> str:
    """A fresh vault key."""
    return Fernet.generate_key().decode()


def _create_private(path: Path) -> None:
    """Make the file readable to its owner only, before anything is in it."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def _text(moment: datetime) -> str:
    """UTC in one fixed form, so that text compares as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _consent(row: sql.Row[Any]) -> Consent:
    return Consent(
        consent_id=row.consent_id,
        source=row.source,
        institution=row.institution,
        target=row.target,
        access_mode=row.access_mode,
        owner_external_id=row.owner_external_id,
        status=row.status,
        created_at=_instant(row.created_at),
        expires_at=_instant(row.expires_at) if row.expires_at else None,
    )
