"""What Kontomatik enforces, in both dialects: keys, sessions, consents, quotas, commands.

Rules marked "observed" are those of the live service; the published specification says nothing of them.
"""

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from typing import Literal, NamedTuple

from ..world.people import CUSTOMERS, Customer
from ..world.records import Account
from ..world.values import escape
from ..world.world import World
from .tokens import Tokens
from .wire import Answer, Call, Shown, as_xml

SESSION_LIFE = timedelta(minutes=10)
SIGN_IN_LIFE = timedelta(minutes=30)
COMMAND_LIFE = timedelta(hours=24)
"""Data are kept for a day (observed)."""
RUNNING_AT_MOST = timedelta(minutes=10)
COMMANDS_AT_ONCE = 8
DAYS_ON_REUSE = 90

STATUS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"} | {
    409: "Conflict",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class Target(NamedTuple):
    """A bank that can be read. `name` may change any time, `institution` does not (observed)."""

    name: str
    country: str
    institution: str
    modes: tuple[str, ...]


TARGETS = (
    Target("KontoBankApi", "pl", "KontoBank", ("SINGLE", "MULTIPLE", "MIXED")),
    Target("KontoBankApi_cz", "cz", "KontoBank", ("SINGLE", "MULTIPLE", "MIXED")),
    Target("KontoBankApi_es", "es", "KontoBank", ("SINGLE", "MIXED")),
    Target("KontoBank", "pl", "KontoBank", ("SINGLE", "MIXED")),
)


class Refusal(Exception):
    """The bank says no: the name of its exception, and the HTTP status it comes with."""

    def __init__(self, name: str, status: int = 400, message: str = "the sandbox bank refuses this") -> None:
        super().__init__(message)
        self.name, self.status, self.message = name, status, message


@dataclass(slots=True, eq=False)
class Session:
    """A signed-in customer, for minutes, for one import."""

    id: str
    signature: str
    customer: Customer
    target: Target
    started_at: datetime
    owner_external_id: str
    token: str | None
    first: bool
    """The user was there: all history. A reused consent shows the last 90 days."""
    counted: bool = False
    command: "Command | None" = None


@dataclass(slots=True, eq=False)
class Command:
    """An import on its way. Faults set how it ends."""

    id: str
    session: Session
    since: date | None
    started: datetime
    polls: int = 0
    fails_with: str | None = None
    fatal: bool = False
    never_ends: bool = False
    odd_state: str | None = None
    odd_polls: int | None = None
    state: Literal["running", "done", "failed"] = "running"
    body: bytes | None = None
    """The result as it was when first read: later changes at the bank are not in it."""


@dataclass(slots=True, eq=False)
class SignIn:
    """A customer sent to the bank's own page, and what became of it."""

    id: str
    signature: str
    target: Target
    mode: str
    owner_external_id: str
    began: datetime
    return_to: str | None = None
    denied: bool = False
    session: Session | None = None


@dataclass(slots=True)
class Rules:
    """How the bank was started."""

    imports_per_day: int = 4
    command_polls: int = 1
    wrapped_arrays: bool = False
    on_command: Callable[[Command], None] = field(default=lambda _: None)
    shown: Callable[[Account], Shown] = field(default=lambda account: Shown(account, account.newest_first()))


class Kontomatik:
    """The part both dialects share. Each method raises `Refusal` where the bank would refuse."""

    def __init__(self, world: World, rules: Rules) -> None:
        self.world, self.rules = world, rules
        self.tokens = Tokens(world)
        self.sessions: dict[str, Session] = {}
        self.commands: dict[str, Command] = {}
        self.sign_ins: dict[str, SignIn] = {}
        # Ids of a later process are higher: a client that remembers an old one must not meet a stranger's.
        self._ids = count(time.time_ns() // 1000)

    def now(self) -> datetime:
        return self.world.clock.now()

    def authorise(self, call: Call) -> None:
        """Checks key and address: a wrong key and a wrong address get the same answer (observed)."""
        key = call.headers.get("x-api-key", "")
        if not hmac.compare_digest(key.encode(), self.world.kontomatik_api_key.encode()):
            raise Refusal("", 401, "IP 127.0.*.* is not known, or the key sandbox-api-***** is not")

    # ---- sessions

    def open_session(
        self, customer: Customer, target: Target, owner_external_id: str, token: str | None, *, first: bool
    ) -> Session:
        number = str(next(self._ids))
        owner = owner_external_id or f"kontomatik-{customer.external_id}"
        signature = self._sign("session", number)
        session = Session(number, signature, customer, target, self.now(), owner, token, first)
        self.sessions[number] = session
        return session

    def mock_session(self, fields: dict[str, str], *, multiple: bool) -> Session:
        """Signs in at KontoBank without a user. `login` and `country` may be left out (observed)."""
        login, country = fields.get("login") or CUSTOMERS[0].login, fields.get("country") or "pl"
        customer = next((own for own in CUSTOMERS if own.login == login), CUSTOMERS[0])
        target = next((own for own in TARGETS if own.country == country.lower()), None)
        if target is None:
            raise Refusal("InvalidTarget", 400, "there is no KontoBank in this country")
        token = self._consent(customer, target) if multiple and "MULTIPLE" in target.modes else None
        return self.open_session(customer, target, fields.get("ownerExternalId", ""), token, first=True)

    def reuse(self, token: str) -> Session:
        """Returns a session without the user. It is here that the quota of 4 imports in 24 h is counted (observed)."""
        claims = self.tokens.read(token, "consent")
        customer = next((own for own in CUSTOMERS if claims is not None and own.login == claims["sub"]), None)
        target = next((own for own in TARGETS if claims is not None and own.name == claims.get("target")), None)
        if customer is None or target is None or claims is None:
            raise Refusal("InvalidMultipleAccessId", 400, "the consent is unknown, expired or revoked")
        self._find_slot()
        self._count_import(customer)
        session = self.open_session(customer, target, str(claims.get("owner", "")), token, first=False)
        session.counted = True
        return session

    def revoke(self, token: str) -> None:
        claims = self.tokens.read(token, "consent")
        if claims is None:
            raise Refusal("InvalidMultipleAccessId", 400, "the consent is unknown, expired or revoked")
        self.tokens.end(claims)

    def _consent(self, customer: Customer, target: Target) -> str:
        return self.tokens.give("consent", customer.login, target=target.name)

    def _sign(self, *parts: str) -> str:
        return hmac.digest(self.world.secret, "/".join(parts).encode(), "sha256").hex()

    # ---- sign-in by redirection

    def begin_sign_in(self, target: Target, mode: str, owner_external_id: str, return_to: str | None) -> SignIn:
        if mode not in ("SINGLE", "MULTIPLE", "MIXED"):
            raise Refusal("InvalidParameter", 400, "accessMode is SINGLE, MULTIPLE or MIXED")
        if mode not in target.modes:
            raise Refusal("InvalidTarget", 400, "the bank does not support this access mode")
        number = str(next(self._ids))
        sign_in = SignIn(number, self._sign("session", number), target, mode, owner_external_id, self.now(), return_to)
        self.sign_ins[number] = sign_in
        return sign_in

    def sign_in(self, number: str) -> SignIn:
        found = self.sign_ins.get(number)
        if found is None:
            raise Refusal("InvalidSessionId", 404, "no sign-in has this id")
        return found

    def state_of(self, sign_in: SignIn) -> Literal["pending", "done", "failed", "expired"]:
        if sign_in.denied:
            return "failed"
        if sign_in.session is not None:
            return "done"
        return "expired" if self.now() > sign_in.began + SIGN_IN_LIFE else "pending"

    def authorize_page(self, call: Call) -> Answer:
        """Returns the bank's own page: opening it is the user saying yes; with `decision=deny`, no."""
        sign_in = self.sign_in(call.query.get("id", ""))
        if self.state_of(sign_in) == "pending":
            if call.query.get("decision") == "deny":
                sign_in.denied = True
            else:
                customer = next((own for own in CUSTOMERS if own.login == call.query.get("login")), CUSTOMERS[0])
                multiple = sign_in.mode != "SINGLE" and "MULTIPLE" in sign_in.target.modes
                token = self._consent(customer, sign_in.target) if multiple else None
                session = self.open_session(customer, sign_in.target, sign_in.owner_external_id, token, first=True)
                sign_in.session = session
                # The specification hands out the session before the user has signed in: it keeps its id.
                del self.sessions[session.id]
                session.id, session.signature = sign_in.id, sign_in.signature
                self.sessions[session.id] = session
        back = ""
        if sign_in.return_to:
            link = f"{sign_in.return_to}{'&' if '?' in sign_in.return_to else '?'}redirectionId={sign_in.id}"
            back = f'<p><a href="{escape(link)}">Back</a></p>'
        page = f"<!doctype html><title>KontoBank</title><p>Sign-in: {self.state_of(sign_in)}.</p>{back}"
        return Answer(200, page.encode(), "text/html; charset=utf-8")

    # ---- commands

    def start_import(self, fields: dict[str, str]) -> Command:
        """Starts the import at once: one a session, and no second one if it fails (observed)."""
        session = self.sessions.get(fields.get("sessionId", ""))
        if session is None:
            if fields.get("sessionId", "") in self.sign_ins:
                raise Refusal("NotSignedIn", 400, "the user has not signed in")
            raise Refusal("InvalidSessionId", 404, "no session has this id, or the session expired")
        if not hmac.compare_digest(session.signature.encode(), fields.get("sessionIdSignature", "").encode()):
            raise Refusal("InvalidSessionIdSignature", 400, "the signature does not belong to the session")
        if self.now() > session.started_at + SESSION_LIFE:
            raise Refusal("InvalidSessionId", 404, "no session has this id, or the session expired")
        if session.command is not None:
            raise Refusal("DefaultImportAlreadyExecuted", 400, "one import a session")
        since = self._since(fields.get("since"))
        self._find_slot()
        if not session.counted:
            self._count_import(session.customer)
        session.counted = True
        session.owner_external_id = fields.get("ownerExternalId") or session.owner_external_id
        return self.start(session, since)

    def start(self, session: Session, since: date | None) -> Command:
        command = Command(str(next(self._ids)), session, since, self.now())
        session.command = command
        self.rules.on_command(command)
        self.commands = {own.id: own for own in self.commands.values() if own.started + COMMAND_LIFE > command.started}
        self.commands[command.id] = command
        return command

    def reuse_and_import(self, fields: dict[str, str]) -> Command:
        """Reuses a consent as the specification has it: in one step, whose command carries the data."""
        since = self._since(fields.get("since"))
        return self.start(self.reuse(fields.get("multipleAccessToken", "")), since)

    def poll(self, number: str) -> Command:
        """Asks once more. The `command_polls`th question finds it finished."""
        command = self.commands.get(number)
        if command is None:
            raise Refusal("InvalidCommandId", 404, "no command has this id")
        command.polls += 1
        if command.odd_state is not None and command.odd_polls is not None:
            command.odd_polls -= 1
            if command.odd_polls < 0:
                command.odd_state = None
        stuck = command.never_ends or command.odd_state is not None
        if command.state == "running" and not stuck and command.polls >= self.rules.command_polls:
            command.state = "done" if command.fails_with is None else "failed"
        return command

    def accounts(self, command: Command) -> list[Shown]:
        """Returns the accounts that the import shows, from `since` on, both ends of the window included."""
        first = command.since
        if not command.session.first:
            # Asking for more silently returns less (observed).
            first = max(first or date.min, self.world.clock.day() - timedelta(days=DAYS_ON_REUSE))
        found = []
        for account in self._owned(command.session.customer):
            shown = self.rules.shown(account)
            if first is not None:
                shown = shown._replace(rows=[row for row in shown.rows if (row.booked_on or row.day) >= first])
            found.append(shown)
        return found

    def _owned(self, customer: Customer) -> list[Account]:
        return [own for own in self.world.accounts if own.bank == "kontomatik" and customer in own.owners]

    def _since(self, text: str | None) -> date | None:
        if not text:
            return None
        try:
            since = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
        except ValueError:
            since = None
        # Warsaw and Prague keep Berlin's time: late in the evening their day is already UTC's tomorrow.
        if since is None or since > self.world.clock.day():
            raise Refusal("InvalidSince", 400, "since is a day, YYYY-MM-DD, and not in the future")
        return since

    def _find_slot(self) -> None:
        """Refuses the ninth command at once (observed); a running one ends after ten minutes at the latest."""
        oldest = self.now() - RUNNING_AT_MOST
        running = sum(own.state == "running" and own.started > oldest for own in self.commands.values())
        if running >= COMMANDS_AT_ONCE:
            raise Refusal("JobsQuotaExceeded", 429, f"{COMMANDS_AT_ONCE} commands are running already")

    def _count_import(self, customer: Customer) -> None:
        """Counts 4 imports in any 24 h for each bank account, whichever token asks (observed; the status is a guess)."""
        oldest = self.now() - timedelta(hours=24)
        keys = [account.key for account in self._owned(customer)]
        recent = {key: [at for at in self.world.imports.get(key, ()) if at > oldest] for key in keys}
        if any(len(times) >= self.rules.imports_per_day for times in recent.values()):
            raise Refusal("MultipleAccessLimitExceeded", 429, "this bank account was imported too often today")
        for key, times in recent.items():
            self.world.imports[key] = [*times, self.now()]


def refused(refusal: Refusal, now: datetime) -> Answer:
    """Returns the envelope of a refusal, in both dialects: the specification has none (observed)."""
    status = f"{refusal.status} {STATUS.get(refusal.status, 'Error')}"
    if refusal.status == 401:
        inside = f"<comment>{escape(refusal.message)}</comment>"
    else:
        inside = f'<exception name="{escape(refusal.name)}"><message>{escape(refusal.message)}</message></exception>'
    return as_xml(f'<reply status="{status}" responseTimestamp="{stamp(now)}">{inside}</reply>', refusal.status)


def stamp(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%SZ}"
