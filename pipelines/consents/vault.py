"""Keeps the consents: what a customer allowed, the encrypted token, the state, and who did what to it."""

import json
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipelines.consents.database import Database, VaultBroken, as_instant
from pipelines.consents.keyring import Keyring
from pipelines.consents.national_ids import NationalIds, forget
from pipelines.consents.quota import MAY_BE_AHEAD, QuotaCounter, consent_lock
from pipelines.consents.scope import EVERYTHING, Scope, forget_customer
from pipelines.consents.states import LIFETIME, MOVES, USABLE, MoveRefused, State, warnings_of
from pipelines.consents.tables import audit, closings, consent_accounts, consents, histories
from pipelines.consents.user import user
from pipelines.errors import WrongUsage
from pipelines.store.banks import bank_named
from pipelines.store.sql import as_text

ERASURE_ASKED = "erasure asked for"
"""In the audit trail, with the reason that was given."""
NO_REASON = "no reason given"


@dataclass(frozen=True, kw_only=True)
class Consent:
    """One consent without its secrets."""

    consent_id: str
    source: str
    institution: str
    target: str | None
    access_mode: str
    owner_external_id: str | None
    status: State
    status_reason: str | None
    created_at: datetime
    expires_at: datetime | None
    last_import_at: datetime | None
    replaces: str | None
    erase_asked_at: datetime | None
    has_token: bool

    @property
    def is_login(self) -> bool:
        """Returns whether it is a login with a refresh token, which has no quota and a lifetime of its own."""
        return not bank_named(self.source).by_consent

    @property
    def erasing(self) -> bool:
        """Returns whether its erasure is recorded and not done yet."""
        return self.erase_asked_at is not None and self.status != "erased"

    @property
    def shown(self) -> str:
        """Returns its state for people: `erasing` while its erasure waits, else its own state."""
        return "erasing" if self.erasing else self.status

    def days_left(self, now: datetime) -> int | None:
        """Returns the whole days until it ends; 0 on the last day and after."""
        return None if self.expires_at is None else max(0, (self.expires_at - now).days)


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit trail."""

    at: datetime
    who: str
    consent_id: str
    what: str
    outcome: str


class Vault:
    """The consents of `vault.sqlite`, or of the database at `url`, and their audit trail.

    Its parts: `database` (tables and transactions), `keyring` (encryption), `quota` (imports spent and left), `national_ids`.
    """

    def __init__(
        self, path: Path, key: str | None, *, url: str | None = None, who: str | None = None, scope: Scope = EVERYTHING
    ) -> None:
        """Opens the vault. The audit trail names `who`, by default the user of the operating system. Lists hold `scope` only."""
        self.database = Database(path, url)
        self.scope = scope
        try:
            self.keyring = Keyring(self.database, key)
        except BaseException:
            self.close()
            raise
        self.quota = QuotaCounter(self.database)
        self.national_ids = NationalIds(self.database, self.keyring)
        self.who = who or user()

    def close(self) -> None:
        """Closes the database."""
        self.database.close()

    def check_it_can_store(self) -> None:
        """Raises `WrongUsage` without a key, `VaultBroken` on a full disk. Call it before asking a bank for a token."""
        self.keyring.usable()
        self.database.refuse_unwritable()

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
        replaces: str | None = None,
        sign_in: dict[str, str | None] | None = None,
        expires_at: datetime | None = None,
    ) -> Consent:
        """Stores a new consent, `pending` until its token is known. `sign_in` is needed to ask how the sign-in ended.

        `expires_at` is its end where the bank gives one; else `LIFETIME` counts from now.
        Raises `WrongUsage` without a vault key.
        """
        sealed_key = self.keyring.new_key()
        consent_id = f"c-{secrets.token_hex(6)}"
        row = {
            "consent_id": consent_id,
            "source": source,
            "institution": institution,
            "target": target,
            "access_mode": access_mode,
            "owner_external_id": owner_external_id,
            "status": "active" if token else "pending",
            "created_at": as_text(now),
            "expires_at": as_text(expires_at or now + LIFETIME),
            "replaces": replaces,
            "sealed_key": sealed_key,
            "sealed_token": self.keyring.encrypt(sealed_key, token) if token else None,
            "sealed_sign_in": self.keyring.encrypt(sealed_key, json.dumps(sign_in)) if sign_in else None,
        }
        with self.database.transaction() as connection:
            place = self.scope.place(connection, self.database, replaces)
            connection.execute(consents.insert().values(**row, **place))
            self._note(connection, consent_id, "added", str(row["status"]), now)
        return self.consent(consent_id)

    def keep_token(
        self,
        consent_id: str,
        token: str,
        now: datetime,
        *,
        institution: str | None = None,
        target: str | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        """Stores the token that a bank gave. A pending consent becomes active, and its days count from here.

        `expires_at` is the token's own end: a consent that was about to end is active again.
        A consent that somebody has ended meanwhile stays as it is.
        """
        with self.database.transaction() as connection:
            row = self._row(consent_id, connection)
            if row.status not in ("pending", *USABLE):
                return
            if row.sealed_token is not None and self.keyring.decrypt(row.sealed_key, row.sealed_token) == token:
                return
            values: dict[str, Any] = {"sealed_token": self.keyring.encrypt(row.sealed_key, token)}
            values |= {"institution": institution} if institution else {}
            values |= {"target": target} if target else {}
            if row.status == "pending":
                values |= {"status": "active", "status_reason": None}
                values |= {"created_at": as_text(now), "expires_at": as_text(now + LIFETIME)}
            if expires_at is not None:
                values |= {"status": "active", "status_reason": None, "expires_at": as_text(expires_at)}
            connection.execute(consents.update().where(consents.c.consent_id == consent_id).values(**values))
            self._note(connection, consent_id, "token stored", "sealed", now)
            if values.get("status", row.status) != row.status:
                self._note(connection, consent_id, f"{row.status} to active", "its token is known", now)

    def token(self, consent_id: str) -> str:
        """Returns the token in plain, for one request. Raises `VaultBroken` when there is none, or another key encrypted it."""
        row = self._row(consent_id)
        if row.sealed_token is None or row.sealed_key is None:
            raise VaultBroken(f"Consent {consent_id} has no token", "Connect the bank again")
        return self.keyring.decrypt(row.sealed_key, row.sealed_token)

    def sign_in(self, consent_id: str) -> dict[str, str | None] | None:
        """Returns what is needed to ask how a consent's sign-in ended; kept until its first import is in raw history."""
        row = self._row(consent_id)
        if row.sealed_sign_in is None or row.sealed_key is None:
            return None
        found: dict[str, str | None] = json.loads(self.keyring.decrypt(row.sealed_key, row.sealed_sign_in))
        return found

    def consent(self, consent_id: str) -> Consent:
        """Returns one consent. Raises `WrongUsage` for an unknown id."""
        return _consent(self._row(consent_id))

    def consents(self, *, source: str | None = None, status: Sequence[str] = ()) -> list[Consent]:
        """Returns the consents of the scope, oldest first, narrowed to a source and to states. All lists go through it."""
        query = self.scope.narrowed(sql.select(consents).order_by(consents.c.created_at, consents.c.consent_id))
        if source:
            query = query.where(consents.c.source == source)
        if status:
            query = query.where(consents.c.status.in_(status))
        return [_consent(row) for row in self.database.read(query)]

    def move(self, consent_id: str, to: State, reason: str, now: datetime) -> None:
        """Changes a consent's state; `reason` is a code or a short sentence, never a bank's answer.

        A move to `revoked` or `erased` destroys its secrets, and an abandoned sign-in is forgotten. Raises `MoveRefused` for a
        move that is not allowed. A move to its present state changes nothing.
        """
        with self.database.transaction() as connection:
            row = self._row(consent_id, connection)
            if row.status == to:
                return
            if to not in MOVES[row.status]:
                raise MoveRefused(consent_id, row.status, to)
            values: dict[str, Any] = {"status": to, "status_reason": reason, "sealed_sign_in": None}
            if to in USABLE:
                del values["sealed_sign_in"]
            if to in ("revoked", "erased"):
                values |= {"sealed_token": None, "sealed_key": None}
            if to == "erased":
                values |= {"owner_external_id": None}
                forget(connection, consent_id)
                forget_customer(connection, consent_id)
            connection.execute(consents.update().where(consents.c.consent_id == consent_id).values(**values))
            self._note(connection, consent_id, f"{row.status} to {to}", reason, now)

    def imported(self, consent_id: str, now: datetime) -> None:
        """Records that its accounts were read and are in raw history; the sign-in is not needed any more."""
        change = consents.update().where(consents.c.consent_id == consent_id)
        self.database.write(change.values(last_import_at=as_text(now), sealed_sign_in=None))

    def name(self, consent_id: str, institution: str, target: str | None, now: datetime) -> None:
        """Records the bank that its first import has named."""
        values = {"institution": institution} | ({"target": target} if target else {})
        with self.database.transaction() as connection:
            connection.execute(consents.update().where(consents.c.consent_id == consent_id).values(**values))
            self._note(connection, consent_id, "named by its bank", institution, now)

    def ask_erasure(self, consent_id: str, now: datetime, reason: str | None = None) -> None:
        """Records that this consent's data is to be erased, and why; the request stands until it is done or withdrawn."""
        with self.database.transaction() as connection:
            if self._row(consent_id, connection).erase_asked_at is not None:
                return
            change = consents.update().where(consents.c.consent_id == consent_id)
            connection.execute(change.values(erase_asked_at=as_text(now)))
            self._note(connection, consent_id, ERASURE_ASKED, reason or NO_REASON, now)

    def withdraw_erasure(self, consent_id: str, now: datetime) -> None:
        """Withdraws the request to erase this consent's data. Raises `WrongUsage` when there is none."""
        with self.database.transaction() as connection:
            row = self._row(consent_id, connection)
            if row.erase_asked_at is None or row.status == "erased":
                raise WrongUsage(f"No erasure of consent {consent_id} waits: it is {row.status}", "Nothing has changed")
            change = consents.update().where(consents.c.consent_id == consent_id)
            connection.execute(change.values(erase_asked_at=None))
            self._note(connection, consent_id, "erasure withdrawn", f"{row.status} as before", now)

    def age(self, now: datetime) -> None:
        """Moves consents near their end to `expiring`, and consents past it to `expired`. Removes attempts that are old.

        The moves that a wrong clock has made are undone first. Call it with a time that is known to be right.
        """
        self.quota.remove_old(now)
        self._undo_wrong_clock(now)
        for consent in self.consents(status=USABLE):
            days = consent.days_left(now)
            with suppress(MoveRefused):  # somebody has ended it in between
                if consent.expires_at is not None and consent.expires_at <= now:
                    self.move(consent.consent_id, "expired", _over(consent), now)
                elif days is not None and days <= warnings_of(login=consent.is_login)[0]:
                    self.move(consent.consent_id, "expiring", f"{days} days left", now)

    def _undo_wrong_clock(self, now: datetime) -> None:
        """Reactivates consents that a fast clock has ended, and counts the days of sign-ins that it has dated anew."""
        for consent in self.consents(status=(*USABLE, "expired")):
            consent_id, days = consent.consent_id, consent.days_left(now)
            if consent.expires_at is None or days is None:
                continue
            if consent.status in USABLE and consent.created_at > now + MAY_BE_AHEAD and not consent.is_login:
                change = consents.update().where(consents.c.consent_id == consent_id)
                with self.database.transaction() as connection:
                    connection.execute(change.values(created_at=as_text(now), expires_at=as_text(now + LIFETIME)))
                    self._note(connection, consent_id, "days counted anew", "its sign-in was dated ahead of the clock", now)
                days = LIFETIME.days
            early = consent.status == "expiring" and days > warnings_of(login=consent.is_login)[0]
            over = consent.status == "expired" and consent.status_reason == _over(consent) and consent.has_token
            another = consent.is_login and self.consents(source=consent.source, status=USABLE)  # logged in again since
            if early or (over and consent.expires_at > now and not consent.erasing and not another):
                with suppress(MoveRefused):  # somebody has ended it in between
                    self.move(consent_id, "active", "its end lies ahead: the clock was wrong", now)

    def covers(self, consent_id: str, account_ids: Iterable[str]) -> None:
        """Records which accounts a consent reads."""
        rows = [{"consent_id": consent_id, "account_id": account_id} for account_id in sorted(set(account_ids))]
        with self.database.transaction() as connection:
            self.database.lock(connection, [consent_lock(consent_id)])
            connection.execute(consent_accounts.delete().where(consent_accounts.c.consent_id == consent_id))
            if rows:
                connection.execute(consent_accounts.insert(), rows)

    def accounts_of(self, consent_id: str) -> list[str]:
        """Returns the accounts that a consent reads, sorted."""
        query = sql.select(consent_accounts.c.account_id).where(consent_accounts.c.consent_id == consent_id)
        return sorted(row.account_id for row in self.database.read(query))

    def readers_of(self, account_id: str) -> list[str]:
        """Returns the consents that read an account, sorted."""
        query = sql.select(consent_accounts.c.consent_id).where(consent_accounts.c.account_id == account_id)
        return sorted(row.consent_id for row in self.database.read(query))

    def accounts_in_use(self) -> set[str]:
        """Returns the accounts that consents in use read."""
        query = sql.select(consent_accounts.c.account_id).distinct().join(consents).where(consents.c.status.in_(USABLE))
        return {row.account_id for row in self.database.read(self.scope.narrowed(query))}

    def has_imported(self) -> bool:
        """Returns whether an import of any consent ever reached a raw history."""
        query = self.scope.narrowed(sql.select(consents.c.consent_id).where(consents.c.last_import_at.is_not(None)))
        return bool(self.database.read(query.limit(1)))

    def histories(self) -> set[str]:
        """Returns the ids of the raw histories that were read with these consents; empty before the first run."""
        return {row.history_id for row in self.database.read(sql.select(histories))}

    def is_blank(self) -> bool:
        """Returns whether nothing was ever written into it: made a moment ago, or in the place of one that is lost."""
        return not any(self.database.read(sql.select(table).limit(1)) for table in (consents, histories, audit, closings))

    def belongs_to(self, history_id: str, now: datetime) -> None:
        """Records that this raw history is read with these consents."""
        if history_id in self.histories():
            return
        with self.database.transaction() as connection:
            self.database.lock(connection, ["histories"])  # another process may be about to record it
            if not list(connection.execute(sql.select(histories).where(histories.c.history_id == history_id))):
                connection.execute(histories.insert().values(history_id=history_id, known_since=as_text(now)))

    def note(self, consent_id: str, what: str, outcome: str, now: datetime) -> None:
        """Adds a line to the audit trail."""
        with self.database.transaction() as connection:
            self._note(connection, consent_id, what, outcome, now)

    def trail(self, consent_id: str | None = None) -> list[AuditEntry]:
        """Returns the audit trail, oldest first."""
        query = sql.select(audit).where(self.scope.holds(audit.c.consent_id)).order_by(audit.c.entry)
        if consent_id:
            query = query.where(audit.c.consent_id == consent_id)
        return [
            AuditEntry(as_instant(row.at), row.who, row.consent_id, row.what, row.outcome) for row in self.database.read(query)
        ]

    def _note(self, connection: sql.Connection, consent_id: str, what: str, outcome: str, now: datetime) -> None:
        values = {"at": as_text(now), "who": self.who, "consent_id": consent_id, "what": what, "outcome": outcome}
        connection.execute(audit.insert().values(**values))

    def _row(self, consent_id: str, connection: sql.Connection | None = None) -> sql.Row[Any]:
        query = sql.select(consents).where(consents.c.consent_id == consent_id)
        rows = self.database.read(query) if connection is None else list(connection.execute(query.with_for_update()))
        if not rows:
            raise WrongUsage(f"There is no consent {consent_id}", "See `python -m pipelines consents list`")
        return rows[0]


def _over(consent: Consent) -> str:
    return "its time is over" if consent.is_login else "its 180 days are over"


def _consent(row: sql.Row[Any]) -> Consent:
    def moment(text: str | None) -> datetime | None:
        return as_instant(text) if text else None

    return Consent(
        consent_id=row.consent_id,
        source=row.source,
        institution=row.institution,
        target=row.target,
        access_mode=row.access_mode,
        owner_external_id=row.owner_external_id,
        status=row.status,
        status_reason=row.status_reason,
        created_at=as_instant(row.created_at),
        expires_at=moment(row.expires_at),
        last_import_at=moment(row.last_import_at),
        replaces=row.replaces,
        erase_asked_at=moment(row.erase_asked_at),
        has_token=row.sealed_token is not None,
    )
