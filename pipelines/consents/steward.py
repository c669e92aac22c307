"""Looking after consents: sign-ins that were left open, warnings before the end, revocations until the bank confirms them."""

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from pipelines.consents.registry import Consent, Vault
from pipelines.consents.states import USABLE, warning
from pipelines.errors import Failure
from sources._errors import ConsentGone, SessionGone, SourceError
from sources.kontomatik.answers import Session, SignIn

if TYPE_CHECKING:
    from sources.kontomatik.client import KontomatikClient

OVER = ("revoked", "erased")
LEFT_OPEN = timedelta(hours=1)
"""After so long a sign-in that nobody finished is given up."""


class StillRevoking(Failure):
    """The bank has not confirmed that a consent is over."""


class SignInFailed(Failure):
    """The customer's sign-in did not lead to a consent."""


class Ends(Protocol):
    """A bank that can be asked to end a token."""

    def delete(self, token: str) -> None:
        """End it. Raises `ConsentGone` if it was gone already, another `SourceError` if the bank did not confirm it."""


@dataclass(frozen=True)
class _Understood:
    """Asked in the other dialect, the bank knows no token at all: its "gone already" counts once it has understood us."""

    client: "KontomatikClient"

    def delete(self, token: str) -> None:
        """As the client's; a "gone already" is believed once the catalog, which costs nothing, is answered in our dialect."""
        try:
            self.client.delete(token)
        except ConsentGone:
            self.client.catalog()
            raise


@dataclass(frozen=True)
class Opening:
    """A consent to import through: stored, or `session` fresh from a sign-in, which alone reaches the whole history."""

    consent: Consent
    session: Session | None = None
    since: date | None = None
    """First day that `connect --since` asked for; None: all that the bank gives."""


@dataclass
class Tended:
    """What looking after the consents led to."""

    openings: list[Opening] = field(default_factory=list)
    """Sign-ins that were finished since the last look."""
    troubles: list[tuple[Consent, str]] = field(default_factory=list)
    """Consents that somebody has to know about."""


def tend(vault: Vault, client: "KontomatikClient", now: datetime) -> Tended:
    """Age all consents, look at sign-ins left open, and try again to end what is to be ended."""
    vault.age(now)
    tended = Tended()
    for consent in to_be_ended(vault):
        try:
            revoke(vault, client, consent.consent_id, now)
        except StillRevoking as failure:
            tended.troubles.append((consent, str(failure)))
    for consent in vault.consents(source="kontomatik", status=("pending",)):
        if vault.unfinished(consent.consent_id, now):
            tended.openings.append(Opening(consent))
            continue
        try:
            opening = finished_sign_in(vault, client, consent, now)
        except SignInFailed:
            continue
        except SessionGone as error:
            vault.move(consent.consent_id, "expired", f"sign-in lost: {error.code}", now)
            tended.troubles.append((consent, f"its sign-in is over at the bank; connect again. {error}"))
            continue
        except (SourceError, Failure) as error:
            tended.troubles.append((consent, f"its sign-in could not be looked at: {error}"))
            continue
        if opening is not None:
            tended.openings.append(opening)
        elif consent.created_at < now - LEFT_OPEN:
            vault.move(consent.consent_id, "expired", "the sign-in was never finished", now)
    taken_up = {opening.consent.consent_id for opening in tended.openings}
    for consent in vault.consents(source="kontomatik", status=USABLE):
        with suppress(SourceError, Failure):  # it is stored, and can be used without
            if consent.consent_id not in taken_up and (session := _unused_session(vault, client, consent, now)):
                tended.openings.append(Opening(consent, session))
    return tended


def to_be_ended(vault: Vault, source: str | None = "kontomatik") -> list[Consent]:
    """Consents that wait for the bank's word, or whose data is to be erased though they are not over yet; None: of any bank."""
    listed = vault.consents(source=source)
    return [one for one in listed if one.status in ("replaced", "revoking") or (one.erase_asked_at and one.status not in OVER)]


def start_sign_in(
    vault: Vault,
    client: "KontomatikClient",
    *,
    target: str,
    access_mode: str,
    now: datetime,
    owner_external_id: str | None = None,
    redirect_url: str | None = None,
    replaces: Consent | None = None,
    since: date | None = None,
) -> tuple[Consent, SignIn]:
    """Start a sign-in and remember it, sealed, so that it is not lost whatever happens to this process.

    `since` is the first day that its first import shall cover, whoever makes it; None: all that the bank gives.
    """
    vault.seal_possible()
    sign_in = client.start_sign_in(target, access_mode, redirect_url, owner_external_id=owner_external_id)  # type: ignore[arg-type]
    session = sign_in.session
    consent = vault.add(
        source="kontomatik",
        institution=replaces.institution if replaces else target,
        target=target,
        access_mode=access_mode,
        owner_external_id=owner_external_id,
        replaces=replaces.consent_id if replaces else None,
        now=now,
        sign_in={
            "id": sign_in.id,
            "session_id": session.session_id if session else None,
            "signature": session.signature if session else None,
            "since": since.isoformat() if since else None,
        },
    )
    return consent, sign_in


def finished_sign_in(vault: Vault, client: "KontomatikClient", consent: Consent, now: datetime) -> Opening | None:
    """The opening that a finished sign-in gives, its token stored first; None while it goes on.

    Raises `SignInFailed` when it failed or ran out of time; the consent is expired then.
    """
    consent = vault.consent(consent.consent_id)
    if consent.status in USABLE:
        return Opening(consent)  # a run has taken it up meanwhile
    if consent.status != "pending":
        raise SignInFailed(f"Consent {consent.consent_id} is {consent.status} meanwhile: {consent.status_reason}")
    remembered = vault.sign_in(consent.consent_id)
    if remembered is None:
        vault.move(consent.consent_id, "expired", "the sign-in was never finished", now)
        raise SignInFailed(f"The sign-in of consent {consent.consent_id} cannot be taken up again", "Connect the bank again")
    status = client.sign_in_status(_sign_in(remembered))
    if status.state == "pending":
        return None
    if status.state != "completed" or status.session is None:
        code = status.exception.code if status.exception else status.state
        vault.move(consent.consent_id, "expired", f"sign-in {status.state}: {code or 'no reason given'}", now)
        cause = f": {status.exception.cause}" if status.exception else ""
        raise SignInFailed(f"The sign-in at the bank has {status.state}{cause}", "Start again; nothing was stored")
    if status.session.token and consent.access_mode != "SINGLE":
        vault.keep_token(consent.consent_id, status.session.token, now, institution=status.institution, target=status.target)
    return Opening(vault.consent(consent.consent_id), status.session)


def _unused_session(vault: Vault, client: "KontomatikClient", consent: Consent, now: datetime) -> Session | None:
    """The session of a sign-in whose token is stored and whose first import has not begun: it reaches the whole history."""
    remembered = vault.sign_in(consent.consent_id)
    if remembered is None or consent.created_at < now - LEFT_OPEN or vault.tried(consent.consent_id):
        return None
    return client.sign_in_status(_sign_in(remembered)).session


def asked_since(vault: Vault, consent_id: str) -> date | None:
    """Returns the first day that `connect --since` asked for; kept until the first import is in raw history."""
    since = (vault.sign_in(consent_id) or {}).get("since")
    return date.fromisoformat(since) if since else None


def _sign_in(remembered: Mapping[str, str | None]) -> SignIn:
    session_id, signature = remembered["session_id"], remembered["signature"]
    session = Session(session_id, signature) if session_id and signature else None
    return SignIn(str(remembered["id"]), "", session)


def wait_for_sign_in(
    vault: Vault,
    client: "KontomatikClient",
    consent: Consent,
    *,
    seconds: float,
    every: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    progress: Callable[[float], None] = lambda _: None,
) -> Opening:
    """Look until the customer has signed in. Raises `SignInFailed` when that failed, or did not happen in so many seconds."""
    started = now()
    while True:
        opening = finished_sign_in(vault, client, consent, now())
        if opening is not None:
            return opening
        waited = (now() - started).total_seconds()
        if waited >= seconds:
            raise SignInFailed(
                f"Nobody has signed in for {seconds:.0f} seconds",
                "Nothing has changed. If the sign-in is finished within the hour, the next run picks it up; else connect again",
            )
        progress(waited)
        sleep(every)


def revoke(vault: Vault, client: "KontomatikClient", consent_id: str, now: datetime) -> None:
    """End a consent at the bank. Its state says `revoking` before the bank is asked and `revoked` only after it said yes.

    Raises `StillRevoking` for anything but the bank's word that it is over, or was already.
    """
    consent = vault.consent(consent_id)
    if consent.status in OVER:
        return
    if consent.status == "pending":
        _given_up(vault, client, consent, now)
    end_stored(vault, _Understood(client), consent_id, now)


def end_stored(vault: Vault, bank: Ends, consent_id: str, now: datetime) -> None:
    """The same for a consent that is not pending, at any bank."""
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
        code = getattr(error, "code", "") or type(error).__name__
        vault.note(consent_id, "revocation tried", f"not confirmed: {code}", now)
        raise StillRevoking(
            f"The bank has not confirmed the end of consent {consent_id}: {str(error).rstrip('.')}",
            "It stays `revoking`: no import uses it, and the next run tries again. That cannot be withdrawn, because the bank"
            " may have ended it already",
        ) from None
    else:
        vault.move(consent_id, "revoked", "confirmed by the bank", now)


def _given_up(vault: Vault, client: "KontomatikClient", consent: Consent, now: datetime) -> Consent:
    """A sign-in that nobody waits for any more. If the customer has signed in all the same, there is a token to end."""
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


def take_over(vault: Vault, client: "KontomatikClient", consent_id: str, now: datetime) -> str | None:
    """A renewed consent made its first good import: the one that it replaces ends, last of all.

    Returns a sentence when the old one has to stay, because the new one does not read all of its accounts, or when its end is not
    confirmed yet.
    """
    consent = vault.consent(consent_id)
    old = vault.consent(consent.replaces) if consent.replaces else None
    if old is None or old.status not in (*USABLE, "expired"):
        return None
    read = {
        account
        for one in vault.consents(status=USABLE)
        if one.consent_id != old.consent_id
        for account in vault.accounts_of(one.consent_id)
    }
    missing = set(vault.accounts_of(old.consent_id)) - read
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


def warnings(vault: Vault, now: datetime, *, configured: Container[str] = ()) -> list[str]:
    """A sentence for each consent that ends in 30 days or less, or has ended and left accounts that nobody reads.

    Sources that are `configured` can be read without a consent: what such a one read is read on.
    Each tighter step is noted in the audit trail once.
    """
    sentences = []
    for consent in vault.consents(status=USABLE):
        days = consent.days_left(now)
        step = warning(days, consent.source)
        if step is None:
            continue
        noted = f"warned, {step} days"
        if all(entry.what != noted for entry in vault.trail(consent.consent_id)):
            vault.note(consent.consent_id, noted, f"{days} left", now)
        urgency = "ends today" if days == 0 else f"ends in {days} day{'s' if days != 1 else ''}"
        sentences.append(
            f"consent {consent.consent_id} ({consent.institution}) {urgency}:"
            f" `python -m pipelines consents renew {consent.consent_id}`"
        )
    read = {account for one in vault.consents(status=USABLE) for account in vault.accounts_of(one.consent_id)}
    for consent in vault.consents(status=("expired",)):
        unread = set(vault.accounts_of(consent.consent_id)) - read
        if unread and consent.has_token and consent.erase_asked_at is None and consent.source not in configured:
            sentences.append(
                f"consent {consent.consent_id} ({consent.institution}) is expired, so {len(unread)} of its accounts are not read"
                f" any more: `python -m pipelines consents renew {consent.consent_id}`"
            )
    return sentences
