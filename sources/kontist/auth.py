"""Logging in to Kontist: Basic, or a short auth token renewed by a long refresh token.

Vendor document: an auth token lives one hour, a refresh token 30 days. Observed: lifetimes differ, so `exp` is read from
the token; a renewal may bring a new refresh token, which then replaces the old one.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unexpected
from sources._http import AGAIN_LATER, Http
from sources.kontist.responses import BANK, LOG_IN_AGAIN, decoded, json_bytes, refusal, refuses_token

AUTH_TOKEN = "/api/user/auth-token"  # noqa: S105 (a path)
REFRESH_TOKEN = "/api/user/refresh-token"  # noqa: S105 (a path)
RENEW_BEFORE = 60
"""Seconds before its end at which an auth token is renewed."""
ASSUMED_LIFETIME = 3600
"""Seconds that an auth token lives when it does not say so itself (vendor document)."""


@dataclass(frozen=True)
class Application:
    """What Kontist has registered for OAuth2: id and secret, and the address that a customer comes back to."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str = "http://127.0.0.1:8765/callback"


@dataclass(frozen=True)
class Login:
    """How to log in. `jwt` needs a refresh token, or e-mail and password; `basic` needs the latter.

    With an `application` it is a login by OAuth2, whose refresh token belongs to that application.

    Basic is for trying things out: it is "highly rate limited" (vendor document).
    """

    email: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    auth: Literal["jwt", "basic"] = "jwt"
    application: Application | None = field(default=None, repr=False)


class Tokens:
    """The `Authorization` header of one login. Threads may share it: whoever comes first renews, the others wait.

    `on_new_refresh_token` gets every refresh token that the bank hands out, before it is used: where the bank rotates
    them, the old one is worthless from then on. `renewing` is held during each renewal, so that processes that share a
    refresh token renew one after the other; it yields the token that is stored by then, None for the one that we have.
    """

    def __init__(
        self,
        http: Http,
        login: Login,
        *,
        clock: Callable[[], float] = time.time,
        on_new_refresh_token: Callable[[str], None] | None = None,
        renewing: Callable[[], AbstractContextManager[str | None]] = nullcontext,
    ) -> None:
        self._http = http
        self._login = login
        self._clock = clock
        self._keep = on_new_refresh_token
        self._renewing = renewing
        self.granted: frozenset[str] | None = None
        """The scopes of the login, as far as the bank has named them."""
        self._lock = threading.Lock()
        self._refresh = login.refresh_token
        self._header: str | None = None
        self._renew_at = 0.0
        self._over = False
        self._wrong: SourceError | None = None

    def authorization(self, *, refused: str | None = None) -> str:
        """Returns the header's value. `refused` is one that the bank has just answered with 401: a newer one is returned.

        Raises `Misconfigured` for a wrong or missing e-mail or password, `ConsentGone` when only a person can log in
        again, `Rejected` for a login that is not confirmed.
        """
        with self._lock:
            if self._login.auth == "basic":
                return self._basic(refused)
            if self._header is None or self._header == refused or self._clock() >= self._renew_at:
                self._renew()
            assert self._header is not None  # noqa: S101 (_renew sets it or raises)
            return self._header

    def adopt(self, token: str, refresh: str) -> None:
        """Uses a pair of tokens that the customer has confirmed; the refresh token is kept first."""
        with self._lock:
            self._use({"token": token, "refresh_token": refresh}, self._refresh)

    def renew(self) -> None:
        """Asks for a new auth token now: whether the refresh token is still good, if nothing else."""
        with self._lock:
            self._renew()

    def invalidate(self) -> bool:
        """Ends both tokens at the bank and forgets them; returns False if they were gone already. No password is used."""
        with self._lock:
            if self._login.auth == "basic":
                return False
            ended = False
            try:
                if self._header is None or self._clock() >= self._renew_at:
                    if self._refresh is None:
                        return False
                    self._renew_by(self._refresh)
                # Both are ended with the auth token in the header (vendor document), so that one goes last.
                for path in (REFRESH_TOKEN, AUTH_TOKEN):
                    answer = self._http.request("DELETE", path, headers={"Authorization": self._header or ""}, repeatable=True)
                    if not answer.is_success and answer.status_code not in (401, 404):
                        raise refusal(answer.status_code)
                    ended |= answer.is_success and path == REFRESH_TOKEN
            except ConsentGone:
                pass
            self._header, self._refresh = None, None
            return ended

    def _renew(self) -> None:
        if self._over:
            raise refusal(401)
        lost = self._http.lost
        with self._renewing() as stored:
            self._refresh = stored or self._refresh
            try:
                self._renew_somehow()
            except ConsentGone as error:
                if self._http.lost == lost:
                    raise
                cause = f"{error.cause}; an answer to this renewal broke off before, and with it perhaps a new token"
                raise ConsentGone(BANK, cause, error.next_step, code=error.code) from None

    def _renew_somehow(self) -> None:
        if self._refresh is not None:
            try:
                self._renew_by(self._refresh)
            except ConsentGone:
                self._header, self._refresh = None, None
                if not (self._login.email and self._login.password):
                    self._over = True
                    raise
            else:
                return
        self._log_in()

    def _log_in(self) -> None:
        """Logs in by e-mail and password: with the refresh token that the bank gives for them.

        Where the bank refuses one, an auth token is asked for once: the vendor document gives both for e-mail and password.
        A password that the bank has refused for both is not sent again: each time may count towards a locked login.
        """
        email, password = self._email_and_password()
        if self._wrong is not None:
            raise self._wrong
        answer = self._http.request("POST", REFRESH_TOKEN, json={"email": email, "password": password}, repeatable=True)
        if answer.is_client_error and answer.status_code not in AGAIN_LATER:
            self._log_in_without_refresh_token(answer.status_code)
            return
        token = token_of(decoded(json_bytes(answer)), "token")
        if token is None:
            raise Unexpected(BANK, "the answer to the login holds no token", LOG_IN_AGAIN)
        self._renew_by(self._kept(token))

    def _log_in_without_refresh_token(self, refused: int) -> None:
        """Asks for an auth token by e-mail and password. Raises for the status `refused` if the bank refuses this, too."""
        email, password = self._email_and_password()
        answer = self._http.request("POST", AUTH_TOKEN, json={"email": email, "password": password}, repeatable=True)
        if answer.is_client_error and answer.status_code not in AGAIN_LATER:
            self._wrong = _wrong_password(refused) if refused in (400, 401, 422) else refusal(refused)
            raise self._wrong
        self._use(decoded(json_bytes(answer)))

    def _renew_by(self, refresh: str) -> None:
        answer = self._http.request("POST", AUTH_TOKEN, headers={"Authorization": f"Bearer {refresh}"}, repeatable=True)
        if refuses_token(answer):
            raise refusal(401)
        self._use(decoded(json_bytes(answer)), refresh)

    def _use(self, reply: Any, refresh: str | None = None) -> None:
        """Uses the auth token of a reply from now on, and keeps the refresh token that may come with it in place of `refresh`."""
        token = token_of(reply, "token")
        if token is None:
            raise Unexpected(BANK, "the answer to the login holds no token", LOG_IN_AGAIN)
        rotated = token_of(reply, "refreshToken") or token_of(reply, "refresh_token")
        if rotated is not None and rotated != refresh:
            self._kept(rotated)
        self._header = f"Bearer {token}"
        now, ends = self._clock(), expiry(token)
        # A token that seems to be over at once: this clock is ahead, and a renewal before each request would bring no other one.
        self._renew_at = (ends if ends and ends - RENEW_BEFORE > now else now + ASSUMED_LIFETIME) - RENEW_BEFORE

    def _kept(self, refresh: str) -> str:
        if self._keep is not None:
            self._keep(refresh)
        self._refresh = refresh
        return refresh

    def _basic(self, refused: str | None) -> str:
        email, password = self._email_and_password()
        header = "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()
        if header == refused:
            raise _wrong_password(401)
        return header

    def _email_and_password(self) -> tuple[str, str]:
        if not (self._login.email and self._login.password):
            raise Misconfigured(
                BANK,
                "there is nothing to log in with",
                "Set sources.kontist.email and sources.kontist.password, or sources.kontist.refresh_token",
            )
        return self._login.email, self._login.password


def _wrong_password(status: int) -> Rejected:
    return Misconfigured(
        BANK,
        "the bank does not accept the e-mail or the password",
        "Correct the settings sources.kontist.email and sources.kontist.password",
        code=str(status),
    )


def token_of(reply: Any, name: str) -> str | None:
    """Returns a token out of a reply, or None. One with spaces or line ends could not be sent in a header."""
    value = reply.get(name) if isinstance(reply, dict) else None
    return value if isinstance(value, str) and value.isascii() and value.isprintable() and value.split() == [value] else None


def expiry(token: str) -> float | None:
    """Returns when a JWT ends, in seconds since 1970, or None if it does not say. Its signature is the bank's business."""
    try:
        return float(claims_of(token)["exp"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def claims_of(token: str) -> dict[str, Any]:
    """Returns what a JWT says of itself, unverified; nothing for a token that is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
