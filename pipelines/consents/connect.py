"""New consents: from a mock session, or from a token that the user's own sign-in obtained."""

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipelines.consents.registry import UNNAMED, Consent, Vault
from pipelines.consents.steward import Opening
from pipelines.errors import WrongUsage

if TYPE_CHECKING:
    from sources.kontomatik.client import KontomatikClient

LONGEST_TOKEN = 4096


def mock_opening(now: Callable[[], datetime], since: date | None = None) -> "Callable[[Vault, KontomatikClient], list[Opening]]":
    """Opens a session at KontoBank, Kontomatik's own test bank, and stores its consent before anything is imported.

    `since` is the first day to import; None: everything.
    """

    def opened(vault: Vault, client: "KontomatikClient") -> list[Opening]:
        vault.seal_possible()
        session = client.mock_session()
        consent = vault.add(
            source="kontomatik",
            institution=session.target or "KontoBank",
            target=session.target,
            access_mode="MULTIPLE",
            now=now(),
            token=session.token,
        )
        return [Opening(consent, session, since)]

    return opened


def add_token(
    vault: Vault, token: str, *, institution: str | None, target: str | None, access_mode: str, signed_in: datetime
) -> Consent:
    """Store a consent whose token somebody else's sign-in obtained at `signed_in`. Raises `WrongUsage` for what is no token."""
    vault.seal_possible()
    token = one_token(token)
    return vault.add(
        source="kontomatik",
        institution=institution or target or UNNAMED,
        target=target,
        access_mode=access_mode,
        now=signed_in,
        token=token,
    )


def one_token(text: str) -> str:
    """The token that somebody typed or piped in."""
    token = text.strip()
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or any(sign.isspace() for sign in token):
        raise WrongUsage("Standard input does not hold one token", "Pipe in the token alone, on one line")
    return token
