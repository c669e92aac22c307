"""Tokens that prove themselves: signed with a key made from the seed, so that they outlive the process.

Kontist's are JSON Web Tokens (HS256) with `iat`, `exp` and `scope`, as in the vendor document: one hour for an auth
token, 30 days for a refresh token. A Kontomatik consent lives 180 days at most.
"""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from threading import Lock
from typing import Any, Literal

from ..world.world import World

Scope = Literal["auth", "refresh", "consent"]
LIFETIME: Mapping[Scope, timedelta] = {
    "auth": timedelta(hours=1),
    "refresh": timedelta(days=30),
    "consent": timedelta(days=180),
}


class Tokens:
    """Gives, reads and ends tokens. What was ended is remembered by the world, for as long as that lives."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = Lock()
        self._last = 0

    def give(self, scope: Scope, subject: str, **claims: str) -> str:
        """Returns a JSON Web Token, good until the sandbox's clock has moved on by its lifetime."""
        now = int(self._world.clock.now().timestamp())
        payload = {"sub": subject, "scope": scope, "iat": now, "exp": now + int(LIFETIME[scope].total_seconds())}
        head = _encode({"alg": "HS256", "typ": "JWT"})
        signed = f"{head}.{_encode(payload | {'jti': f'{scope}-{self._stamp()}'} | claims)}"
        return f"{signed}.{self._signature(signed)}"

    def read(self, token: str, scope: Scope) -> dict[str, Any] | None:
        """Returns the claims of a token that is ours, of this scope, neither expired nor ended; None otherwise."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            return None
        claims: dict[str, Any] = json.loads(urlsafe_b64decode(signed.split(".")[1] + "=="))
        if claims["scope"] != scope or claims["exp"] <= self._world.clock.now().timestamp():
            return None
        return None if self._ended(scope, claims["jti"]) else claims

    def end(self, claims: Mapping[str, Any]) -> None:
        """Ends one token."""
        self._world.revoked.add(claims["jti"])

    def end_all(self, scope: Scope) -> None:
        """Ends every token of this scope that was given until now, whoever holds it."""
        self._world.ended[scope] = self._stamp()

    def _ended(self, scope: Scope, own_id: str) -> bool:
        return own_id in self._world.revoked or int(own_id.rpartition("-")[2]) <= self._world.ended.get(scope, 0)

    def _stamp(self) -> int:
        """Returns a number that only rises, over processes too."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return self._last

    def _signature(self, text: str) -> str:
        return urlsafe_b64encode(hmac.digest(self._world.secret, text.encode(), sha256)).decode().rstrip("=")


def _encode(content: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")
