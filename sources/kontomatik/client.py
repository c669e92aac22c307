"""Kontomatik's nine operations, in both dialects.

What a request costs decides how it is sent: a question is asked again when the bank is away, a request that starts or ends
something is sent once. The one exception is a request that the bank refuses because too many commands run: it did nothing, and
is tried again after a while.
"""

import math
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any, Literal

import httpx

from sources._errors import Misconfigured, QuotaSpent, SourceError, Unavailable, Unexpected, Unreached
from sources._http import Http, retry_after
from sources._limits import Limits
from sources._protocols import Spool
from sources.kontomatik.dialects import DIALECTS, Dialect, exception_in
from sources.kontomatik.errors import (
    BANK,
    CommandUnfinished,
    MayBeAccepted,
    Spoilt,
    by_name,
    by_status,
    is_web_page,
    odd,
    unauthorized,
    web_page,
    with_pause,
)
from sources.kontomatik.reply import exception_of, read_reply, spoken_by
from sources.kontomatik.results import AccessMode, Command, ImportResult, Institution, Reply, Session, SignIn, SignInStatus
from sources.kontomatik.safe_xml import LARGEST_BODY, json_object, small_document

LARGEST_ANSWER = 1 << 24
"""Bytes of any answer but an import's."""
IMPORT_LIMITS = Limits(size=LARGEST_BODY)
CHUNK = 1 << 16
POOL_WAITS = (10.0, 15.0, 25.0, 40.0)
"""Seconds before a request is tried again that was refused because too many commands run (vendor: 10 to 15, growing)."""

LOOKS = 3
"""Looks at a command that may be lost in a row, each with the patience of any question, before waiting for it ends."""

Progress = Callable[[str, float], None]
"""Called at each look at a command with its state and the seconds waited so far."""


def _today() -> date:
    """Returns the day that began last everywhere the bank may be: no first day we send lies in its future."""
    return datetime.now(UTC).date()


class KontomatikClient:
    """One contract with Kontomatik. Threads may share it.

    Every method raises `SourceError`s only: `Misconfigured` (key, address, dialect), `ConsentGone`, `SessionGone`, `QuotaSpent`,
    `Unavailable`, `Unexpected`; their texts hold nothing of what the bank wrote.
    """

    def __init__(
        self,
        http: Http,
        api_key: str,
        dialect: Literal["openapi", "live"],
        *,
        poll_interval: float = 3.0,
        command_deadline: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        today: Callable[[], date] = _today,
        recognise: Callable[[str, str], str] | None = None,
    ) -> None:
        """Opens a client. `recognise` makes the keyed hash of an owner's identity number; without it none is kept."""
        if not re.fullmatch(r"[!-~]+", api_key):
            raise Misconfigured(
                BANK, "the API key is empty or holds a space or a line end", "Correct the secret sources.kontomatik.api_key"
            )
        if dialect not in DIALECTS:
            raise Misconfigured(
                BANK, "there are two dialects, openapi and live", "Correct the setting sources.kontomatik.dialect"
            )
        self._http = http
        self._key = {"X-Api-Key": api_key}
        self._dialect: Dialect = DIALECTS[dialect]()
        self._poll_interval = poll_interval
        self._command_deadline = command_deadline
        self._clock = clock
        self._sleep = sleep
        self._today = today
        self._recognise = recognise

    @property
    def requests(self) -> int:
        """Returns how many requests were sent so far."""
        return self._http.requests

    def mock_session(
        self,
        *,
        login: str = "test1",
        country: str = "cz",
        owner_external_id: str | None = None,
        multiple_access: bool = True,
        owner_email: str | None = None,
    ) -> Session:
        """Returns a signed-in session with the mock bank of the test environment.

        The published specification takes no parameters; the live service takes these (observed).
        """
        fields = {"login": login, "country": country, "multipleAccess": "true" if multiple_access else "false"}
        fields |= {"ownerExternalId": owner_external_id} if owner_external_id else {}
        fields |= {"ownerEmail": owner_email} if owner_email else {}
        return self._session(self._post("mock-session.xml", self._dialect.mock(fields)))

    def start_sign_in(
        self,
        target: str,
        access_mode: AccessMode,
        redirect_url: str | None = None,
        *,
        owner_external_id: str | None = None,
        country: str = "",
        locale: str = "en",
    ) -> SignIn:
        """Returns a link for the customer to sign in at the bank behind.

        In the live dialect the customer chooses the bank there, among those of `country` (two small letters; else as the
        target's name says).
        """
        body = self._dialect.sign_in(target, access_mode, redirect_url, owner_external_id, country, locale)
        return self._dialect.signing_in(json_object(self._post_json("signin/redirection", body)))

    def sign_in_status(self, sign_in: SignIn | str) -> SignInStatus:
        """Returns how far a sign-in is; `sign_in` is what `start_sign_in` gave, or its id.

        The published specification names the session only at the start: pass the whole `SignIn` to have it in the status.
        """
        sign_in_id = sign_in if isinstance(sign_in, str) else sign_in.id
        answer = json_object(self._get("signin/redirection-status", {self._dialect.sign_in_field: sign_in_id}))
        status = self._dialect.sign_in_status(answer)
        if status.state == "completed" and status.session is None:
            session = None if isinstance(sign_in, str) else sign_in.session
            if self._dialect.name == "live":
                raise odd("the sign-in is completed without a session")
            return SignInStatus("completed", session, None, status.target, status.institution)
        return status

    def start_import(self, session: Session, since: date | None, owner_external_id: str | None = None) -> Command:
        """Starts the one import of a session, from the day `since` on; None asks for everything.

        Sent once. `MayBeAccepted` says that no answer came: the import may run all the same, and is spent.
        """
        first_day = self._dialect.first_day(since, self._today())
        accepted = self._command_request("default-import", self._dialect.start(session, first_day, owner_external_id))
        if isinstance(accepted, Command):
            return accepted
        raise odd("the answer to an import names no command")

    def reuse(self, token: str, since: date | None) -> Session | Command:
        """Uses a consent again. Spends one of its imports, also when the answer is lost.

        The published specification starts the import at once: a `Command`. The live service gives a new `Session`, for
        `start_import`; if it gives a command first, that is waited for.
        """
        fields = self._dialect.reuse(token, self._dialect.first_day(since, self._today()))
        accepted = self._command_request("reuse-multiple-access", fields)
        if isinstance(accepted, Session) or self._dialect.name == "openapi":
            return accepted
        return self._session_of(accepted)

    def command(self, command_id: str, new_spool: Callable[[], Spool]) -> Reply:
        """Looks at a command once; the answer is read as it arrives. `new_spool` is called for each account with rows.

        What the bank reports of the command stands in the reply; a refused look raises.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", command_id):
            raise odd("a command's number is not one")
        with self._http.stream("GET", f"command/{command_id}.xml", headers=self._key, limits=IMPORT_LIMITS) as response:
            if not response.is_success:
                raise self._refusal(response, command=True)
            try:
                reply = read_reply(response.iter_bytes(CHUNK), new_spool, recognise=self._recognise)
            except httpx.HTTPError:
                raise _broken_off() from None
        if reply.command_id not in (None, command_id):
            raise odd("the bank answered with another command than the one asked for")
        return reply

    def wait(
        self,
        command_id: str,
        new_spool: Callable[[], Spool],
        on_progress: Progress | None = None,
        *,
        left: Callable[[], float] = lambda: math.inf,
    ) -> ImportResult:
        """Looks at a command until it is done, every `poll_interval` seconds, as long as seconds are `left` to the caller.

        Raises the bank's failure; `CommandUnfinished`, with its number, when time is over or the bank away: it may still finish.
        """
        reply = self._until_done(command_id, new_spool, on_progress, left)
        if reply.result is None:
            raise odd("the command is done and holds no import")
        return reply.result

    def delete(self, token: str) -> None:
        """Ends a consent at the bank. Raises `ConsentGone` when the bank knows no such consent, or none any more.

        A confirmation is an empty answer (published specification) or a document of the bank without an exception (observed).
        Raises `Unexpected` for anything else, like the web page of a proxy: that is not the bank's answer.
        """
        body = self._post("command/delete-multiple-access.xml", {self._dialect.consent_field: token})
        failure = self._failure_in(body)
        if failure is not None:
            raise failure
        if body.strip():
            spoken_by(small_document(body))

    def catalog(self, country: str | None = None, access_mode: AccessMode | None = None) -> list[Institution]:
        """Returns the banks that Kontomatik covers, of `country` (two letters) and open to `access_mode`; `MIXED` is any."""
        live = self._dialect.name == "live"
        body = self._get(self._dialect.catalog_path, {"accessMode": access_mode} if live and access_mode else {})
        return [
            one
            for one in self._dialect.catalog_of(body)
            if (not country or one.country == country.lower())
            and (access_mode in (None, "MIXED") or not one.access_modes or bool({access_mode, "MIXED"} & one.access_modes))
        ]

    def health(self) -> None:
        """Checks that the service answers. No key is sent.

        The published specification has an address for this; whether the live service has it is not known, so that there any
        answer from it that is not a failure of its own will do.
        """
        with self._http.stream("GET", "health") as response:
            if is_web_page(self._body(response)) and response.status_code < 500:
                raise web_page()
            if response.is_success or (self._dialect.name == "live" and response.status_code in (401, 403, 404)):
                return
            raise by_status(response.status_code, spends=False, command=False)

    def _until_done(
        self, command_id: str, new_spool: Callable[[], Spool], on_progress: Progress | None, time_left: Callable[[], float]
    ) -> Reply:
        began = self._clock()
        lost = 0
        while True:
            try:
                reply = self.command(command_id, new_spool)
            except QuotaSpent:
                raise
            except Spoilt:
                lost += 1  # asking again costs nothing
                if lost >= LOOKS:
                    raise
                self._sleep(self._poll_interval)
                continue
            except Unavailable as error:
                lost += 1
                if lost >= LOOKS:
                    cause = f"the command could not be asked for: {error.cause}"
                    raise CommandUnfinished(cause, command_id, code=error.code) from None
                self._sleep(self._poll_interval)
                continue
            lost = 0
            waited = self._clock() - began
            if on_progress:
                on_progress(reply.state, waited)
            if reply.state == "done":
                return reply
            if reply.state == "failed":
                raise reply.exception or odd("the command failed")
            left = min(self._command_deadline - waited, time_left())
            if left <= 0:
                state = "is in a state that we do not know" if reply.state == "unknown" else "is not done"
                raise CommandUnfinished(f"the command {state} after {waited:.0f} seconds", command_id)
            self._sleep(min(self._poll_interval, left))

    def _session_of(self, command: Command) -> Session:
        """Returns the session that a command gives when it is done."""

        def no_rows() -> Spool:
            raise odd("the answer to a reused consent holds transactions")

        try:
            reply = self._until_done(command.id, no_rows, None, lambda: math.inf)
        except CommandUnfinished as error:
            raise Unavailable(
                BANK, "the reused consent gave no session in time", "The next run tries again", code=error.code
            ) from None
        if reply.session is None:
            raise odd("the reused consent gave no session")
        return reply.session

    def _command_request(self, name: str, fields: dict[str, str]) -> Session | Command:
        return self._dialect.accepted(self._post(f"command/{name}.xml", fields))

    def _session(self, body: bytes) -> Session:
        accepted = self._dialect.accepted(body)
        if isinstance(accepted, Session):
            return accepted
        raise odd("the answer names no session")

    def _get(self, path: str, params: dict[str, str]) -> bytes:
        with self._http.stream("GET", path, params=params, headers=self._key) as response:
            if response.is_success:
                return self._body(response)
            raise self._refusal(response)

    def _post(self, path: str, fields: dict[str, str]) -> bytes:
        return self._send(path, {"data": fields} if fields else {})

    def _post_json(self, path: str, body: dict[str, Any]) -> bytes:
        return self._send(path, {"json": body})

    def _send(self, path: str, content: dict[str, Any]) -> bytes:
        """Returns the answer to a request that is sent once, except while it is refused because too many commands run."""
        waits = list(POOL_WAITS)
        while True:
            try:
                return self._send_once(path, content)
            except Unavailable as error:
                if error.code != "JobsQuotaExceeded" or not waits:
                    raise
            self._sleep(waits.pop(0))

    def _send_once(self, path: str, content: dict[str, Any]) -> bytes:
        try:
            with self._http.stream("POST", path, headers=self._key, **content) as response:
                if not response.is_success:
                    raise self._refusal(response, spends=True)
                body = self._body(response)
        except (Unreached, MayBeAccepted):
            raise
        except Unavailable as error:
            if error.code:  # the bank's own word, not a lost answer
                raise
            raise MayBeAccepted(
                BANK, f"{error.cause}; the bank may have accepted the request", "It is not repeated by itself"
            ) from None
        failure = self._failure_in(body)
        if failure is not None and failure.code == "JobsQuotaExceeded":
            raise failure
        return body

    def _refusal(self, response: httpx.Response, *, spends: bool = False, command: bool = False) -> SourceError:
        """Returns the bank's refusal: by the name in the answer, else by its status."""
        if response.status_code == 401:
            return unauthorized()
        body = self._body(response)
        failure = self._failure_in(body)
        if failure is not None and (failure.code or not spends):
            return with_pause(failure, retry_after(response))
        if is_web_page(body) and response.status_code < 500:
            return web_page()
        failure = by_status(response.status_code, spends=spends, command=command)
        return with_pause(failure, retry_after(response))

    def _failure_in(self, body: bytes) -> SourceError | None:
        """Returns the failure that a short answer reports, in XML or JSON; None if it reports none or cannot be read."""
        start = body.lstrip()[:1]
        try:
            if start == b"{":
                name = exception_in(json_object(body))
                return None if name is None else by_name(name)
            if start in (b"<", b"\xef"):
                root = small_document(body)
                return exception_of(root) or next((found for one in root if (found := exception_of(one))), None)
        except Unexpected:
            return None
        return None

    def _body(self, response: httpx.Response) -> bytes:
        found = bytearray()
        try:
            for chunk in _limited(response.iter_bytes(CHUNK)):
                found += chunk
        except httpx.HTTPError:
            raise _broken_off() from None
        return bytes(found)


def _limited(chunks: Iterable[bytes]) -> Iterable[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise odd(f"the answer is larger than {LARGEST_ANSWER} bytes")
        yield chunk


def _broken_off() -> Unavailable:
    return Unavailable(BANK, "the connection broke off in the middle of the answer", "Try again later")
