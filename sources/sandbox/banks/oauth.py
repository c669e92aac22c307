"""Kontist's OAuth2: the page that asks a customer, the token endpoint, and the confirmation on the phone (MFA).

The customer of this bank agrees at once by default: no browser is needed.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from ..world.people import ADA
from ..world.world import World
from .tokens import Tokens
from .wire import Answer, Call, as_json, problem

ELSEWHERE = "https://ledger.example.test/kontist"
"""The redirect address that is registered for the application, besides any on this machine (RFC 8252)."""
CHALLENGE_LIVES = timedelta(minutes=5)


@dataclass
class OAuth:
    """Answers `/api/oauth/` and `/api/user/mfa/`."""

    world: World
    tokens: Tokens
    rotates: bool = False
    """Whether a renewal gives a new refresh token and ends the old one."""
    denies: bool = False
    """Whether the customer refuses the application."""
    skips_mfa: bool = False
    """Whether tokens come unconfirmed, as after `skip_mfa=true`."""
    grants: str | None = None
    """The scopes that this bank grants; None: whatever is asked for."""
    names_scopes: bool = True
    """Whether token answers and tokens name the scopes."""
    challenge: Literal["VERIFIED", "DENIED", "PENDING"] = "VERIFIED"
    """How the customer answers on the phone."""
    challenge_polls: int = 1
    """Which question finds the answer."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _challenges: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, call: Call) -> Answer:
        """Answers one request."""
        match call.method, call.path.strip("/").split("/")[1:]:
            case "GET", ["oauth", "authorize"]:
                return self._authorize(call.query)
            case "POST", ["oauth", "token"]:
                return self._token(call.form())
            case method, ["user", "mfa", "challenges", *rest]:
                return self._challenge(call, method, rest)
        return problem(404, "Not Found")

    def _authorize(self, asked: dict[str, str]) -> Answer:
        address = asked.get("redirect_uri", "")
        parts = urlsplit(address)
        known = address == ELSEWHERE or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost"))
        if asked.get("client_id") != self.world.kontist_client_id or not known or asked.get("response_type") != "code":
            return Answer(400, b"<html><h1>invalid_request</h1></html>", "text/html")
        back = {"state": asked.get("state", "")}
        if self.denies:
            denied = urlencode(back | {"error": '{"type":"AccessDeniedError"}'})
            return Answer(302, headers={"Location": f"{address}?{denied}"})
        code = self.tokens.give("refresh", ADA.external_id, code="yes").rpartition(".")[2]
        skipped = self.skips_mfa or asked.get("skip_mfa") == "true"
        scopes = asked.get("scope", "") if self.grants is None else self.grants
        self._codes[code] = {"address": address, "scopes": scopes, "confirmed": "no" if skipped else "yes"}
        return Answer(302, headers={"Location": f"{address}?{urlencode({'code': code} | back)}"})

    def _token(self, sent: dict[str, str]) -> Answer:
        if (sent.get("client_id"), sent.get("client_secret")) != (self.world.kontist_client_id, self.world.kontist_client_secret):
            return as_json({"error": "invalid_client"}, 401)
        if sent.get("grant_type") == "authorization_code":
            granted = self._codes.pop(sent.get("code", ""), None)  # once only
            if granted is None or granted["address"] != sent.get("redirect_uri"):
                return as_json({"error": "invalid_grant"}, 400)
            return self._tokens(granted["scopes"], granted["confirmed"])
        claims = self.tokens.read(sent.get("refresh_token", ""), "refresh") if sent.get("refresh_token") else None
        if sent.get("grant_type") != "refresh_token" or claims is None or scopes_of(claims) is None:
            return as_json({"error": "invalid_grant"}, 400)
        if self.rotates:
            self.tokens.end(claims)
        return self._tokens(scopes_of(claims) or "", claims["confirmed"], with_refresh=self.rotates)

    def _tokens(self, scopes: str, confirmed: str, *, with_refresh: bool = True) -> Answer:
        access, refresh = self.pair(scopes, confirmed)
        content = {"access_token": access, "token_type": "Bearer", "expires_in": 3599}
        content |= {"scope": scopes} if self.names_scopes else {}
        with_refresh = with_refresh and "offline" in scopes.split()
        return as_json(content | ({"refresh_token": refresh} if with_refresh else {}), about="token")

    def pair(self, scopes: str = "accounts transactions transfers offline", confirmed: str = "yes") -> tuple[str, str]:
        """Returns an access token and a refresh token."""
        claims = {"scopes" if self.names_scopes else "granted": scopes, "confirmed": confirmed}
        return self.tokens.give("auth", ADA.external_id, **claims), self.tokens.give("refresh", ADA.external_id, **claims)

    def _challenge(self, call: Call, method: str, rest: list[str]) -> Answer:
        kind, _, bearer = call.headers.get("authorization", "").partition(" ")
        claims = self.tokens.read(bearer, "auth") if kind == "Bearer" else None
        if claims is None:
            return problem(401, "Unauthorized")
        now = self.world.clock.now()
        if method == "POST" and not rest:
            own_id = f"challenge-{len(self._challenges) + 1}"
            self._challenges[own_id] = {"polls": 0, "ends": now + CHALLENGE_LIVES, "claims": claims}
            return self._shown(own_id, "PENDING", 201)
        found = self._challenges.get(rest[0]) if rest else None
        if found is None:
            return problem(404, "Not Found")
        answered = self.challenge if found["polls"] >= self.challenge_polls and now < found["ends"] else "PENDING"
        if method == "GET" and len(rest) == 1:
            found["polls"] += 1
            answered = self.challenge if found["polls"] >= self.challenge_polls and now < found["ends"] else "PENDING"
            return self._shown(rest[0], answered)
        if method == "POST" and rest[1:] == ["token"] and answered == "VERIFIED":
            del self._challenges[rest[0]]  # once only
            access, refresh = self.pair(scopes_of(found["claims"]) or "")
            return as_json({"token": access, "refresh_token": refresh}, about="token")
        return problem(403, "Forbidden")

    def _shown(self, own_id: str, status: str, code: int = 200) -> Answer:
        ends = self._challenges[own_id]["ends"]
        return as_json({"id": own_id, "status": status, "expiresAt": f"{ends:%Y-%m-%dT%H:%M:%S}.000Z"}, code)


def scopes_of(claims: dict[str, Any]) -> str | None:
    """Returns the scopes in a token's claims, under whichever name; None where OAuth2 did not give the token."""
    found: str | None = claims.get("scopes", claims.get("granted"))
    return found
