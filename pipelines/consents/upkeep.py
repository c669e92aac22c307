"""Maintains consents without an import: warnings, expiry, pending revocations and erasures.

Every run does the same on its way. These are the steps for a schedule of their own, and for `consents tend`.
"""

from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.consents.clients import as_failures, command_client, has_vault, refuse_unconfigured, vault_of
from pipelines.consents.clock import check
from pipelines.consents.erase import finish_erasures, pending
from pipelines.consents.expiring import expiring
from pipelines.consents.revocation import OVER, StillRevoking, revoke, to_be_ended
from pipelines.consents.sign_in import (
    LEFT_OPEN,
    Opening,
    SignInFailed,
    finished_sign_in,
    redirect_of,
    start_sign_in,
    unused_session,
)
from pipelines.consents.states import USABLE
from pipelines.consents.vault import Consent, Vault
from pipelines.errors import Failure, WrongUsage
from pipelines.store.banks import read_without_consent
from pipelines.store.lock import held
from pipelines.store.losses import missing_raw, missing_vault, refuse
from sources._errors import SessionGone, SourceError
from sources.kontist.auth import Login

if TYPE_CHECKING:
    from pipelines.settings import Settings
    from sources.kontomatik.client import KontomatikClient


@dataclass
class Tidied:
    """The outcome of the maintenance."""

    revoked: list[str] = field(default_factory=list)
    """Consents whose end the bank has confirmed."""
    receipts: list[str] = field(default_factory=list)
    """A sentence for each erasure, with where its receipt is."""
    troubles: list[str] = field(default_factory=list)
    """A sentence for each that has to be tried again."""

    def sentences(self) -> list[str]:
        """Returns the outcome for people."""
        return [f"- consent {one} is revoked" for one in self.revoked] + [
            *(f"- {receipt}" for receipt in self.receipts),
            *(f"! {trouble}" for trouble in self.troubles),
        ]


def watch(settings: "Settings", now: Callable[[], datetime]) -> list[str]:
    """Expires consents that are over; returns the warnings that are due, a sentence each.

    Raises `ClockWrong` when this machine's clock is wrong: nothing has expired then. Raises `HistoryLost` when the
    vault is missing.
    """
    if not has_vault(settings):
        refuse(missing_vault(settings))
        return []
    with vault_of(settings) as vault:
        check(settings, now, vault)
        vault.age(now())
        note_warnings(vault, now())
        return warnings(vault, now(), configured=read_without_consent(settings))


def to_end(settings: "Settings", consent_id: str | None = None) -> list[Consent]:
    """Returns the named consent, else all that wait for the bank's confirmation. Raises `WrongUsage` for an unknown id."""
    if not has_vault(settings):
        refuse(missing_vault(settings))
        if consent_id:
            raise WrongUsage(f"There is no consent {consent_id}", "See `python -m pipelines consents list`")
        return []
    with vault_of(settings) as vault:
        return [vault.consent(consent_id)] if consent_id else to_be_ended(vault, None)


def end(
    settings: "Settings", consent_id: str, now: Callable[[], datetime], *, erase: bool = False, reason: str | None = None
) -> None:
    """Ends a consent at the bank; with `erase` its data is to be erased too, which `finish_erasing` does.

    Ending twice changes nothing. Raises `WrongUsage` when the settings do not reach the bank: nothing is recorded then. Raises
    `StillRevoking` when the bank has not confirmed the end: the next maintenance tries again.
    """
    with vault_of(settings) as vault:
        if vault.consent(consent_id).status == "erased":
            return
        if erase and not settings.fleet.cells:
            refuse(missing_raw(settings.data_dir, vault))
        can_be_ended(settings, vault, consent_id, now)
        if erase:
            vault.ask_erasure(consent_id, now(), reason)
        with pending(settings.data_dir, vault, consent_id):
            end_at_its_bank(settings, vault, consent_id, now)


def can_be_ended(settings: "Settings", vault: Vault, consent_id: str, now: Callable[[], datetime]) -> None:
    """Checks before anything is recorded that the settings reach the consent's bank, and the vault key opens its token.

    Asks no bank. Raises `WrongUsage` or `VaultBroken`.
    """
    from pipelines.consents import kontist_login

    consent = vault.consent(consent_id)
    if consent.status in OVER:
        return
    token = vault.token(consent_id) if consent.has_token else None
    if consent.is_login:
        with as_failures(), kontist_login.client_of(kontist_login.KeptLogin(settings, None, now, Login(refresh_token=token))):
            return
    refuse_unconfigured(settings)
    with command_client(settings, now):
        return


def end_at_its_bank(settings: "Settings", vault: Vault, consent_id: str, now: Callable[[], datetime]) -> None:
    """Asks the consent's own bank to end it. Raises `StillRevoking` when the bank has not confirmed it.

    Raises what `can_be_ended` does, and has changed nothing then.
    """
    from pipelines.consents import kontist_login

    can_be_ended(settings, vault, consent_id, now)
    if vault.consent(consent_id).status in OVER:
        return
    if vault.consent(consent_id).is_login:
        kontist_login.end_login(settings, vault, consent_id, now)
        return
    with command_client(settings, now) as client:
        revoke(vault, client, consent_id, now())


def finish_erasing(settings: "Settings", now: Callable[[], datetime], patience: float = 0) -> list[str]:
    """Erases the consents that are over at the bank, where that was asked for; returns a sentence with the receipt for each.

    Raises `Busy` when there is something to erase and a run holds the data directory for `patience` seconds: it stays asked for.
    In a fleet only the runs of the cells erase.
    """
    if settings.fleet.cells or not has_vault(settings):
        return []
    with vault_of(settings) as vault:
        asked = [one for one in vault.consents(status=("revoked",)) if one.erase_asked_at is not None]
        if not asked:
            return []
        with held(settings.data_dir, "erase", patience):
            return finish_erasures(settings, vault, now)


def tidy(settings: "Settings", now: Callable[[], datetime]) -> Tidied:
    """Finishes pending revocations and erasures. One that fails does not stop the others."""
    tidied = Tidied()
    for consent in to_end(settings):
        try:
            end(settings, consent.consent_id, now)
            tidied.revoked.append(consent.consent_id)
        except Failure as failure:
            tidied.troubles.append(str(failure))
    try:
        tidied.receipts = finish_erasing(settings, now)
    except Failure as failure:
        tidied.troubles.append(str(failure))
    return tidied


def sign_in_link(settings: "Settings", consent_id: str, now: Callable[[], datetime]) -> tuple[Consent, str]:
    """Starts the sign-in that renews a consent; returns the new, pending consent and the bank's link, good for minutes.

    The next run completes it once the customer has signed in. Raises `WrongUsage` for a consent that cannot be renewed, or where
    the service needs a `redirect_url` and none is set.
    """
    check(settings, now)
    with vault_of(settings) as vault, command_client(settings, now) as client:
        old = vault.consent(consent_id)
        if old.is_login:
            raise WrongUsage("Kontist has no link to sign in with", "Log in at a terminal: python -m pipelines connect kontist")
        if old.status not in ("active", "expiring", "expired"):
            raise WrongUsage(f"Consent {old.consent_id} is {old.status}", "Connect the bank again with `connect kontomatik`")
        redirect_url = redirect_of(settings, None, "Set sources.kontomatik.redirect_url to a page of yours")
        fresh, sign_in = start_sign_in(
            vault,
            client,
            target=old.target or old.institution,
            access_mode=old.access_mode,
            now=now(),
            owner_external_id=old.owner_external_id,
            redirect_url=redirect_url,
            replaces=old,
        )
        return fresh, sign_in.link


@dataclass
class Maintenance:
    """The outcome of `maintain`."""

    openings: list[Opening] = field(default_factory=list)
    """Sign-ins that were finished since the last look."""
    troubles: list[tuple[Consent, str]] = field(default_factory=list)
    """Consents that somebody has to know about."""


def maintain(vault: Vault, client: "KontomatikClient", now: datetime) -> Maintenance:
    """Maintains Kontomatik's consents: lets them age, tries pending revocations again, finishes sign-ins that were left open."""
    vault.age(now)
    done = Maintenance()
    for consent in to_be_ended(vault):
        try:
            revoke(vault, client, consent.consent_id, now)
        except StillRevoking as failure:
            done.troubles.append((consent, str(failure)))
    for consent in vault.consents(source="kontomatik", status=("pending",)):
        opening, trouble = _looked_at(vault, client, consent, now)
        if opening is not None:
            done.openings.append(opening)
        if trouble:
            done.troubles.append((consent, trouble))
    taken_up = {opening.consent.consent_id for opening in done.openings}
    for consent in vault.consents(source="kontomatik", status=USABLE):
        with suppress(SourceError, Failure):  # it is stored, and can be used without
            if consent.consent_id not in taken_up and (session := unused_session(vault, client, consent, now)):
                done.openings.append(Opening(consent, session))
    return done


def _looked_at(vault: Vault, client: "KontomatikClient", consent: Consent, now: datetime) -> tuple[Opening | None, str | None]:
    """Finishes or expires a sign-in that was left open; returns what it gives to import through, and what went wrong."""
    if vault.quota.unfinished(consent.consent_id, now):
        return Opening(consent), None
    try:
        opening = finished_sign_in(vault, client, consent, now)
    except SignInFailed:
        return None, None
    except SessionGone as error:
        vault.move(consent.consent_id, "expired", f"sign-in lost: {error.code}", now)
        return None, f"its sign-in is over at the bank; connect again. {error}"
    except (SourceError, Failure) as error:
        return None, f"its sign-in could not be looked at: {error}"
    if opening is None and consent.created_at < now - LEFT_OPEN:
        vault.move(consent.consent_id, "expired", "the sign-in was never finished", now)
    return opening, None


def warnings(vault: Vault, now: datetime, *, configured: Container[str] = ()) -> list[str]:
    """Returns a sentence for each consent that ends soon, or is expired and left accounts that nothing reads.

    Sources that are `configured` are read without a consent, so the end of one of theirs stops nothing.
    """
    sentences = [
        f"consent {one.consent.consent_id} ({one.consent.institution}) {one.urgency}: `{one.renewal}`"
        for one in expiring(vault, now)
    ]
    read = vault.accounts_in_use()
    for consent in vault.consents(status=("expired",)):
        unread = set(vault.accounts_of(consent.consent_id)) - read
        if unread and consent.has_token and consent.erase_asked_at is None and consent.source not in configured:
            sentences.append(
                f"consent {consent.consent_id} ({consent.institution}) is expired, so {len(unread)} of its accounts are not read"
                f" any more: `python -m pipelines consents renew {consent.consent_id}`"
            )
    return sentences


def note_warnings(vault: Vault, now: datetime) -> None:
    """Records each warning that is due in the audit trail, once for each consent and step."""
    for one in expiring(vault, now):
        noted = f"warned, {one.step} days"
        if all(entry.what != noted for entry in vault.trail(one.consent.consent_id)):
            vault.note(one.consent.consent_id, noted, f"{one.days_left} left", now)
