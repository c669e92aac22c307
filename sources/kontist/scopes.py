"""The scopes of a login by OAuth2: what each is for, which of them a login has, and the error for one that it lacks.

Vendor document: the answer of the token endpoint names them in `scope`, separated by spaces, and so does that claim of its
tokens, in a refresh token beside the word `refresh`. RFC 6749 lets a bank leave `scope` out where it has granted all that was
asked for. A token that was confirmed on the phone has a claim `cnf` (samples of the vendor document).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sources._errors import Rejected, SourceError
from sources.kontist.auth import claims_of
from sources.kontist.responses import BANK, refusal

CLIENT_MANAGEMENT = "https://kontist.dev/client-management/"
"""Where customers of Kontist register applications (vendor document)."""
PURPOSE: Mapping[str, str] = {
    "accounts": "accounts and balances",
    "transactions": "transactions",
    "transfers": "the lists of orders",
    "offline": "the refresh token of unattended runs",
}
"""The scopes that a reader needs, and what cannot be had without each."""
ORDERS = "transfers"
"""The scope that a reader of orders needs, and nobody else. It would also allow to write."""
INDISPENSABLE = ("accounts", "transactions")
"""Without these a login is of no use. Without `transfers` everything but the orders is read."""
_ALL = frozenset({*PURPOSE, "clients", "statements", "subscriptions", "users"})
"""Every scope of the vendor document. A list with another word in it is written in a way that nobody has described."""


class ScopeMissing(Rejected):
    """The bank has not granted a scope to this login."""

    def __init__(self, scopes: Iterable[str]) -> None:
        self.scopes = tuple(scopes)
        names = " and ".join(f"`{name}` (for {PURPOSE[name]})" for name in self.scopes)
        several = len(self.scopes) > 1
        super().__init__(
            BANK,
            f"the login lacks the scope{'s' if several else ''} {names}",
            f"Add {'them' if several else 'it'} to your application ({CLIENT_MANAGEMENT}),"
            " then agree anew: python -m pipelines connect kontist",
            code="403",
        )


def granted(reply: Any, access_token: str | None) -> frozenset[str] | None:
    """Returns the scopes that a token answer names, else those of the token's claims; None where neither says it."""
    content = reply if isinstance(reply, dict) else {}
    claims = claims_of(access_token or "")
    for said in (content.get("scope"), claims.get("scope"), claims.get("scopes")):
        words = said.split() if isinstance(said, str) else said
        if isinstance(words, list) and words and all(isinstance(word, str) and word in _ALL | {"refresh"} for word in words):
            return frozenset(words) - {"refresh"} or None
    return None


def is_confirmed(token: str) -> bool:
    """Returns whether a token says that it was confirmed. One that does not say so may be confirmed all the same."""
    return isinstance(claims_of(token).get("cnf"), dict)


def missing(has: frozenset[str], of: Iterable[str] = PURPOSE) -> tuple[str, ...]:
    """Returns those of the scopes `of` that a login does not have."""
    return tuple(name for name in of if name not in has)


def scopes_for(*, orders: bool) -> tuple[str, ...]:
    """Returns the scopes to ask for; without `orders`, none that would allow to write."""
    return tuple(name for name in PURPOSE if orders or name != ORDERS)


def forbidden(has: frozenset[str] | None, needs: Iterable[str], *, confirmed: bool) -> SourceError:
    """Returns the error for a 403 to a question that needs these scopes.

    A 403 has two causes: a scope is missing, or the token is not confirmed on the phone. The scopes that the login `has` tell
    them apart. Where they are not known, a login that is `confirmed`, or has read something, lacks the last scope.
    """
    needed = tuple(needs)
    if has is None:
        return ScopeMissing(needed[-1:]) if confirmed else refusal(403)
    if lacking := missing(has, needed):
        return ScopeMissing(lacking)
    if confirmed:
        return Rejected(
            BANK,
            "the bank refuses access, although the login is confirmed and has the scopes",
            "Ask Kontist whether this customer may use it",
            code="403",
        )
    return Rejected(
        BANK,
        "the bank refuses access with this login: it has the scopes, but it is not confirmed on the phone",
        "Log in again and confirm it on your phone (MFA): python -m pipelines connect kontist",
        code="403",
    )
