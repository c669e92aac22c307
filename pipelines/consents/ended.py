"""Finds the consents and logins that are over with nothing in their place: nothing reads their accounts any more.

Every run says so.
"""

from typing import TYPE_CHECKING

from pipelines.consents.states import USABLE
from pipelines.store.banks import Bank

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault


def ended_consents(vault: "Vault", bank: Bank) -> "list[Consent]":
    """Returns the consents, or the login, of the bank whose end left accounts that nothing reads.

    One whose erasure was asked for is none of them.
    """
    if bank.by_consent:
        return _ended_consents(vault, bank)
    login = _ended_login(vault, bank)
    return [login] if login is not None else []


def ended_sentence(consent: "Consent") -> str:
    """Returns a sentence: the consent or login is over, and how to go on."""
    if consent.is_login:
        return f"the login is over ({consent.status_reason}): log in again with `python -m pipelines connect {consent.source}`"
    return (
        f"its consent is over ({consent.status_reason}) and nothing reads its accounts: `python -m pipelines consents renew"
        f" {consent.consent_id}`, or end it with `consents revoke {consent.consent_id}`"
    )


def _ended_consents(vault: "Vault", bank: Bank) -> "list[Consent]":
    """Returns the expired consents whose accounts no other consent reads; of several for the same accounts the newest.

    Until somebody renews or ends one. A consent for one import only has done its work, and a sign-in that nobody finished or
    imported read nothing.
    """
    read = vault.accounts_in_use()
    found: list[Consent] = []
    for consent in reversed(vault.consents(source=bank.name, status=("expired",))):
        unread = set(vault.accounts_of(consent.consent_id)) - read
        if unread and consent.access_mode != "SINGLE" and consent.erase_asked_at is None:
            found.append(consent)
            read |= unread
    return found[::-1]


def _ended_login(vault: "Vault", bank: Bank) -> "Consent | None":
    """Returns the login that read accounts last, if it is over and no person ended it."""
    if vault.consents(source=bank.name, status=USABLE):
        return None
    read = [one for one in vault.consents(source=bank.name) if vault.accounts_of(one.consent_id)]
    last = read[-1] if read else None
    return last if last is not None and last.status == "expired" and last.erase_asked_at is None else None
