"""Ends consents: revocations, until the bank confirms them, and consents that others replace."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pipelines.consents.sign_in import SignInFailed, finished_sign_in
from pipelines.consents.states import USABLE
from pipelines.errors import Failure
from sources._errors import ConsentGone, SessionGone, SourceError

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault
    from sources.kontomatik.client import KontomatikClient


OVER = ("revoked", "erased")


class StillRevoking(Failure):
    """The bank has not confirmed that a consent is over."""


class Ends(Protocol):
    """A bank that can be asked to end a token."""

    def delete(self, token: str) -> None:
        """Ends a token. Raises `ConsentGone` if it was gone already, another `SourceError` if the bank did not confirm."""


@dataclass(frozen=True)
class _Understood:
    """Calls the catalog before a "gone already" counts: in the wrong dialect every token looks unknown, as if revoked."""

    client: "KontomatikClient"

    def delete(self, token: str) -> None:
        """Ends a token; a "gone already" counts once the catalog, which costs nothing, is answered in our dialect."""
        try:
            self.client.delete(token)
        except ConsentGone:
            self.client.catalog()
            raise


def to_be_ended(vault: "Vault", source: str | None = "kontomatik") -> "list[Consent]":
    """Returns the consents that wait for the bank's confirmation, or for an erasure before that; `source` None: of any bank."""
    listed = vault.consents(source=source)
    return [one for one in listed if one.status in ("replaced", "revoking") or (one.erase_asked_at and one.status not in OVER)]


def revoke(vault: "Vault", client: "KontomatikClient", consent_id: str, now: datetime) -> None:
    """Ends a consent at the bank. It is `revoking` before the bank is asked, and `revoked` only after the bank has confirmed.

    Raises `StillRevoking` unless the bank confirms that it is over, or was already.
    """
    consent = vault.consent(consent_id)
    if consent.status in OVER:
        return
    if consent.status == "pending":
        _given_up(vault, client, consent, now)
    end_stored(vault, _Understood(client), consent_id, now)


def end_stored(vault: "Vault", bank: Ends, consent_id: str, now: datetime) -> None:
    """Ends a consent that is not pending, at any bank; as `revoke`."""
    consent = vault.consent(consent_id)
    if consent.status in OVER:
        return
    vault.move(consent_id, "revoking", "asked for", now)
    if not consent.has_token:
        vault.move(consent_id, "revoked", "there never was a token to end", now)
        return
    try:
        bank.delete(vault.token(consent_id))
    except ConsentGone:
        vault.move(consent_id, "revoked", "the bank says that it was gone already", now)
    except (SourceError, Failure) as error:
        code = (isinstance(error, SourceError) and error.code) or type(error).__name__
        vault.note(consent_id, "revocation tried", f"not confirmed: {code}", now)
        raise StillRevoking(
            f"The bank has not confirmed the end of consent {consent_id}: {str(error).rstrip('.')}",
            "It stays `revoking`: no import uses it, and the next run tries again. That cannot be withdrawn, because the bank"
            " may have ended it already",
        ) from None
    else:
        vault.move(consent_id, "revoked", "confirmed by the bank", now)


def _given_up(vault: "Vault", client: "KontomatikClient", consent: "Consent", now: datetime) -> "Consent":
    """Ends an abandoned sign-in; returns its consent. If the customer has signed in all the same, there is a token to end."""
    try:
        finished_sign_in(vault, client, consent, now)
    except (SignInFailed, SessionGone):
        pass
    except (SourceError, Failure) as error:
        raise StillRevoking(
            f"The bank did not say how the sign-in of consent {consent.consent_id} ended: {str(error).rstrip('.')}",
            "Nothing has changed; try again later",
        ) from None
    if vault.consent(consent.consent_id).status == "pending":
        vault.move(consent.consent_id, "expired", "given up before a token was there", now)
    return vault.consent(consent.consent_id)


def _is_read_without(vault: "Vault", old: "Consent", account_id: str) -> bool:
    """Returns whether another consent in use reads this account."""
    others = [reader for reader in vault.readers_of(account_id) if reader != old.consent_id]
    return any(vault.consent(other).status in USABLE for other in others)


def take_over(vault: "Vault", client: "KontomatikClient", consent_id: str, now: datetime) -> str | None:
    """Ends the consent that a renewed one replaces, after the new one's first good import.

    Returns a sentence when the old one has to stay, because the new one does not read all of its accounts, or when its end is not
    confirmed yet.
    """
    consent = vault.consent(consent_id)
    old = vault.consent(consent.replaces) if consent.replaces else None
    if old is None or old.status not in (*USABLE, "expired"):
        return None
    missing = [account for account in vault.accounts_of(old.consent_id) if not _is_read_without(vault, old, account)]
    if missing:  # of an expired one too: else nothing would say that nobody reads them
        return (
            f"consent {consent_id} does not read {len(missing)} of the accounts of {old.consent_id}, which therefore stays:"
            f" renew again with all accounts, or `consents revoke {old.consent_id}`"
        )
    if old.status in USABLE:
        vault.move(old.consent_id, "replaced", f"by {consent_id}", now)
    try:
        revoke(vault, client, old.consent_id, now)
    except StillRevoking as failure:
        return str(failure)
    return None
