"""Finds the consents that are over with nothing in their place: nothing reads their accounts, and every run says so."""

from pipelines.consents.vault import Consent, Vault


def dead_feeds(vault: Vault) -> list[Consent]:
    """Returns Kontomatik's expired consents whose accounts no other consent reads; of several for the same accounts the newest.

    Until somebody renews or ends one. A consent for one import only has done its work, and a sign-in that nobody finished or
    imported read nothing.
    """
    read = vault.accounts_in_use()
    found: list[Consent] = []
    for consent in reversed(vault.consents(source="kontomatik", status=("expired",))):
        unread = set(vault.accounts_of(consent.consent_id)) - read
        if unread and consent.access_mode != "SINGLE" and consent.erase_asked_at is None:
            found.append(consent)
            read |= unread
    return found[::-1]


def told_dead(consent: Consent) -> str:
    """Returns a sentence: the consent is over, and how to go on."""
    return (
        f"its consent is over ({consent.status_reason}) and nothing reads its accounts: `python -m pipelines consents renew"
        f" {consent.consent_id}`, or end it with `consents revoke {consent.consent_id}`"
    )
