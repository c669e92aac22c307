"""OAuth2 at Kontist: the link for the customer, the exchange of its code, renewal, and the confirmation on the phone (MFA).

Vendor document: an access token lives one hour; a refresh token can be used until it expires, and a renewal may bring a new one.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unavailable, Unexpected
from sources._http import Http
from sources.kontist.auth import Application, Tokens, token_of
from sources.kontist.responses import ASK_A_PERSON, BANK, LOG_IN_AGAIN, decoded, json_bytes, refusal, refuses_token
from sources.kontist.scopes import CLIENT_MANAGEMENT, INDISPENSABLE, PURPOSE, ScopeMissing, granted, missing
from sources.kontist.values import instant

AUTHORIZE = "/api/oauth/authorize"
TOKEN = "/api/oauth/token"  # noqa: S105 (a path)
CHALLENGES = "/api/user/mfa/challenges"
LONGEST_ADDRESS = 4096
"""Characters of an address that somebody pastes."""


class OAuthTokens(Tokens):
    """The `Authorization` header of one login by OAuth2, renewed by its refresh token."""

    def _renew_by(self, refresh: str) -> None:
        application = self._login.application
        if application is None:
            raise _no_application()
        self.use_reply(_exchanged(self._http, application, {"grant_type": "refresh_token", "refresh_token": refresh}), refresh)

    def _log_in(self) -> None:
        raise Misconfigured(BANK, "there is no login", "Log in: python -m pipelines connect kontist")

    def use_reply(self, reply: Any, refresh: str | None = None) -> None:
        """Uses the tokens of a reply from now on; a new refresh token is kept first."""
        content = reply if isinstance(reply, dict) else {}
        access = content.get("access_token")
        self._use({"token": access, "refresh_token": content.get("refresh_token")}, refresh)
        self.granted = granted(content, access if isinstance(access, str) else None)

    def invalidate(self) -> bool:
        """Forgets the tokens. Returns False: the vendor documents no request that ends them."""
        with self._lock:
            self._header, self._refresh = None, None
            return False


def authorize_link(base_url: str, application: Application, state: str, scopes: Iterable[str] = PURPOSE) -> str:
    """Returns the link where the customer agrees to these scopes."""
    asked = {
        "scope": " ".join(scopes),
        "response_type": "code",
        "client_id": application.client_id,
        "redirect_uri": application.redirect_uri,
        "state": state,
    }
    return f"{base_url.rstrip('/')}{AUTHORIZE}?{urlencode(asked, quote_via=quote)}"


def code_of(address: str, application: Application, state: str) -> str:
    """Returns the code in the address that the customer came back to.

    Raises `Rejected` when the customer has refused, and for an address that does not belong to this login: its `state` differs.
    Nothing of the address is repeated in an error.
    """
    fields = _fields_of(address.strip(), application.redirect_uri)
    if fields is None:
        raise Rejected(BANK, "this is not the redirect address", "Paste the whole address of the page that you came to")
    if fields.get("state") != [state]:
        raise Rejected(BANK, "this address belongs to another login", "Begin again: python -m pipelines connect kontist")
    if "error" in fields:
        raise _refused(" ".join(fields["error"]))
    codes = fields.get("code", [])
    code = token_of({"code": codes[0]}, "code") if len(codes) == 1 else None
    if code is None:
        raise Rejected(BANK, "the address holds no code", "Paste the whole address of the page that you came to")
    return code


def _fields_of(address: str, redirect_uri: str) -> dict[str, list[str]] | None:
    """Returns the fields of an address; None for one that is not the redirect address."""
    try:
        parts, expected = urlsplit(address[:LONGEST_ADDRESS]), urlsplit(redirect_uri)
        fields = parse_qs(parts.query, max_num_fields=50)
    except ValueError:
        return None
    same = _place(parts) is not None and _place(parts) == _place(expected)
    return fields if same and len(address) <= LONGEST_ADDRESS else None


def _place(parts: SplitResult) -> tuple[str, str, int | None, str] | None:
    """Returns where an address leads, as a browser writes it; None for one with a user name, or with a port that is none."""
    default = {"https": 443, "http": 80}.get(parts.scheme)
    try:
        place = parts.scheme, parts.hostname or "", parts.port or default, normal_path(parts.path)
    except ValueError:
        return None
    return None if "@" in parts.netloc else place


def normal_path(path: str) -> str:
    """Returns a path as browsers ask for it: never empty, and with other characters than those of an address encoded."""
    return quote(path or "/", safe="/%:@!$&'()*+,;=~-._")


def _refused(error: str) -> Rejected:
    """Returns the error for what the bank's page says: JSON with a name (vendor document), in which words are looked for."""
    if "AccessDenied" in error or "access_denied" in error:
        return Rejected(BANK, "the login was refused by the customer", "Try again: python -m pipelines connect kontist")
    if "scope" in error.lower():
        names = ", ".join(f"`{name}`" for name in PURPOSE)
        return Rejected(
            BANK,
            f"the bank refuses one of the scopes {names}",
            f"Add all of them to your application ({CLIENT_MANAGEMENT}), then try again",
        )
    return Rejected(BANK, "the bank refused the login", "Try again: python -m pipelines connect kontist")


def exchange(http: Http, application: Application, code: str) -> tuple[str, str]:
    """Returns the access token and the refresh token for a code. A code is good once, so this is never repeated.

    Raises `ScopeMissing` where the bank says that it has not granted what a reader cannot do without, and `Rejected` for a code
    that it does not accept.
    """
    sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": application.redirect_uri}
    try:
        reply = _exchanged(http, application, sent, repeatable=False)
    except ConsentGone:
        raise Rejected(
            BANK,
            "the bank does not accept the code: it was used, is too old, or belongs to another redirect address",
            "Begin again: python -m pipelines connect kontist; sources.kontist.redirect_uri must be the registered address",
        ) from None
    access, refresh = token_of(reply, "access_token"), token_of(reply, "refresh_token")
    if access is None:
        raise Unexpected(BANK, "the answer to the login holds no token", LOG_IN_AGAIN)
    has = granted(reply, access)
    if has is not None and (lacking := missing(has, INDISPENSABLE)):
        raise ScopeMissing(lacking)
    if refresh is None:
        raise ScopeMissing(("offline",))
    return access, refresh


def _exchanged(http: Http, application: Application, sent: Mapping[str, str], *, repeatable: bool = True) -> Any:
    body = {"client_id": application.client_id, "client_secret": application.client_secret, **sent}
    answer = http.request("POST", TOKEN, data=body, repeatable=repeatable)
    if answer.status_code in (400, 401) and _says(answer.content, "invalid_client"):
        raise Misconfigured(
            BANK,
            "the bank does not know this application",
            "Correct sources.kontist.client_id and sources.kontist.client_secret",
            code=str(answer.status_code),
        )
    if refuses_token(answer):
        raise refusal(401)
    return decoded(json_bytes(answer))


def _says(body: bytes, error: str) -> bool:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("error") == error


def _no_application() -> SourceError:
    return Misconfigured(BANK, "no application is configured", "Set sources.kontist.client_id and sources.kontist.client_secret")


@dataclass(frozen=True)
class Confirmation:
    """Asks for the confirmation of a token on the customer's phone. `sleep` waits between two questions."""

    http: Http
    sleep: Callable[[float], None]
    now: Callable[[], datetime]
    between: float = 3.0
    """Seconds between two questions (vendor document)."""
    longest: float = 600.0
    """Seconds to wait at most, whatever end the bank names."""
    waiting: Callable[[float], None] = lambda _: None
    """Called before each wait with the seconds that are left."""

    def confirmed(self, access: str) -> tuple[str, str]:
        """Returns a confirmed access token and refresh token in exchange for an unconfirmed access token.

        Raises `Rejected` when the customer denies, `Unavailable` when the time is over.
        """
        header = {"Authorization": f"Bearer {access}"}
        challenge = self._asked("POST", CHALLENGES, header)
        own_id, ends = challenge.get("id"), instant(challenge.get("expiresAt"))
        if not (isinstance(own_id, str) and own_id) or ends is None:
            raise Unexpected(BANK, "the bank begins no confirmation that can be understood", ASK_A_PERSON)
        path = f"{CHALLENGES}/{quote(own_id, safe='')}"
        began = self.now().timestamp()
        # A confirmation that seems to be over at once: this clock is ahead.
        over_at = min(ends / 1_000_000 if ends / 1_000_000 > began else math.inf, began + self.longest)
        while True:
            match self._state(path, header):
                case "VERIFIED":
                    break
                case "DENIED":
                    raise Rejected(BANK, "the confirmation was denied on the phone", LOG_IN_AGAIN)
                case "PENDING":
                    left = over_at - self.now().timestamp()
                    if left <= 0:
                        raise Unavailable(BANK, "nobody has confirmed the login on the phone in time", LOG_IN_AGAIN)
                case _:
                    raise Unexpected(BANK, "the confirmation is in a state that nobody has described", ASK_A_PERSON)
            self.waiting(left)
            self.sleep(self.between)
        reply = self._asked("POST", f"{path}/token", header)
        token, refresh = token_of(reply, "token"), token_of(reply, "refresh_token")
        if token is None or refresh is None:
            raise Unexpected(BANK, "the confirmation brought no tokens", LOG_IN_AGAIN)
        return token, refresh

    def _state(self, path: str, header: dict[str, str]) -> Any:
        """Returns what the bank says of the confirmation. Raises `Unavailable` for one that it does not know any more."""
        answer = self.http.request("GET", path, headers=header)
        if answer.status_code in (404, 410):
            raise Unavailable(BANK, "the confirmation on the phone is over", LOG_IN_AGAIN)
        reply = decoded(json_bytes(answer))
        return reply.get("status") if isinstance(reply, dict) else None

    def _asked(self, method: str, path: str, header: dict[str, str]) -> dict[str, Any]:
        reply = decoded(json_bytes(self.http.request(method, path, headers=header)))
        return reply if isinstance(reply, dict) else {}
