"""Makes new consents: from a sign-in, from a mock session, or from a token that another sign-in obtained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.consents.states import UNNAMED, USABLE
from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from sources.kontomatik.results import Session, SignIn

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault
    from sources.kontomatik.client import KontomatikClient

LEFT_OPEN = timedelta(hours=1)
"""A sign-in that nobody finished is given up after this time."""


class SignInFailed(Failure):
    """The customer's sign-in did not lead to a consent."""


@dataclass(frozen=True)
class Opening:
    """A consent to import through: stored, or `session` fresh from a sign-in, which alone reaches the whole history."""

    consent: "Consent"
    session: Session | None = None
    since: date | None = None
    """First day that `connect --since` asked for; None: all that the bank gives."""


def start_sign_in(
    vault: "Vault",
    client: "KontomatikClient",
    *,
    target: str,
    access_mode: str,
    now: datetime,
    owner_external_id: str | None = None,
    redirect_url: str | None = None,
    replaces: "Consent | None" = None,
    since: date | None = None,
    country: str = "",
    locale: str = "en",
) -> "tuple[Consent, SignIn]":
    """Starts a sign-in and stores it, encrypted, so that it survives this process; returns the pending consent and the sign-in.

    `since` is the first day that its first import shall cover; None: everything that the bank gives. `country` and `locale` are
    those of the page that the customer sees (live dialect); without a country it is taken from the target's name.
    """
    vault.check_it_can_store()
    sign_in = client.start_sign_in(
        target,
        access_mode,  # type: ignore[arg-type]  # argparse and the vault hold one of the three
        redirect_url,
        owner_external_id=owner_external_id,
        country=country,
        locale=locale,
    )
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


def redirect_of(settings: Settings, given: str | None, next_step: str) -> str | None:
    """Returns the page to which the bank sends the customer after the sign-in, `given` or that of the settings.

    Raises `WrongUsage` with `next_step` where the service needs one and there is none.
    """
    redirect_url = given or settings.kontomatik.redirect_url
    if redirect_url is None and settings.kontomatik.dialect == "live":
        raise WrongUsage("The live service wants to know where to send the customer after the sign-in", next_step)
    return redirect_url


def refuse_unknown_page(settings: Settings, country: str | None, locale: str | None) -> None:
    """Raises `WrongUsage` where the service takes neither a country nor a language of its sign-in page."""
    if settings.kontomatik.dialect == "openapi" and (country or locale):
        raise WrongUsage(
            "The published specification's sign-in takes neither --country nor --locale",
            "Leave them out, or set sources.kontomatik.dialect to live if the service is the live one",
        )


def finished_sign_in(vault: "Vault", client: "KontomatikClient", consent: "Consent", now: datetime) -> "Opening | None":
    """Returns the opening that a finished sign-in gives, its token stored first; None while it goes on.

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
        raise SignInFailed(f"The sign-in of consent {consent.consent_id} cannot be continued", "Connect the bank again")
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


def unused_session(vault: "Vault", client: "KontomatikClient", consent: "Consent", now: datetime) -> Session | None:
    """Returns the session of a sign-in whose first import has not begun: it reaches the whole history."""
    remembered = vault.sign_in(consent.consent_id)
    if remembered is None or consent.created_at < now - LEFT_OPEN or vault.quota.tried(consent.consent_id):
        return None
    return client.sign_in_status(_sign_in(remembered)).session


def asked_since(vault: "Vault", consent_id: str) -> date | None:
    """Returns the first day that `connect --since` asked for; kept until the first import is in raw history."""
    since = (vault.sign_in(consent_id) or {}).get("since")
    return date.fromisoformat(since) if since else None


def _sign_in(remembered: Mapping[str, str | None]) -> SignIn:
    session_id, signature = remembered["session_id"], remembered["signature"]
    session = Session(session_id, signature) if session_id and signature else None
    return SignIn(str(remembered["id"]), "", session)


def wait_for_sign_in(
    vault: "Vault",
    client: "KontomatikClient",
    consent: "Consent",
    *,
    seconds: float,
    every: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    progress: Callable[[float], None] = lambda _: None,
) -> "Opening":
    """Waits until the customer has signed in. Raises `SignInFailed` when that failed, or took more than `seconds`."""
    started = now()
    while True:
        opening = finished_sign_in(vault, client, consent, now())
        if opening is not None:
            return opening
        waited = (now() - started).total_seconds()
        if waited >= seconds:
            raise SignInFailed(
                f"The sign-in timed out after {seconds:.0f} seconds",
                "Nothing has changed. If the sign-in is finished within the hour, the next run picks it up; else connect again",
            )
        progress(waited)
        sleep(every)


LONGEST_TOKEN = 4096


@dataclass(frozen=True)
class MockLogin:
    """Who signs in at KontoBank, Kontomatik's own test bank, and where. None and nothing: as the client has it."""

    login: str | None = None
    country: str | None = None
    access_mode: str = "MULTIPLE"
    owner_external_id: str | None = None

    def refuse_unknown(self, dialect: str) -> None:
        """Raises `WrongUsage` for what a mock session of this dialect cannot be asked for."""
        if self.access_mode == "MIXED":
            raise WrongUsage("A mock session is either SINGLE or MULTIPLE, not MIXED", "Give --access-mode SINGLE or MULTIPLE")
        if dialect == "openapi" and (self.login or self.country or self.access_mode != "MULTIPLE"):
            raise WrongUsage(
                "The published specification's mock session takes neither --login nor --country, and is always MULTIPLE",
                "Leave them out, or set sources.kontomatik.dialect to live if the service is the live one",
            )


def mock_opening(
    now: Callable[[], datetime], since: date | None = None, who: MockLogin = MockLogin()
) -> "Callable[[Vault, KontomatikClient], list[Opening]]":
    """Opens a session at KontoBank and stores its consent before anything is imported.

    `since` is the first day to import; None: everything.
    """

    def opened(vault: "Vault", client: "KontomatikClient") -> "list[Opening]":
        vault.check_it_can_store()
        asked = {"login": who.login, "country": who.country, "owner_external_id": who.owner_external_id}
        multiple = who.access_mode != "SINGLE"
        session = client.mock_session(**{name: value for name, value in asked.items() if value}, multiple_access=multiple)
        consent = vault.add(
            source="kontomatik",
            institution=session.target or "KontoBank",
            target=session.target,
            access_mode=who.access_mode,
            owner_external_id=who.owner_external_id,
            now=now(),
            token=session.token if multiple else None,
        )
        return [Opening(consent, session, since)]

    return opened


def add_token(
    vault: "Vault", token: str, *, institution: str | None, target: str | None, access_mode: str, signed_in: datetime
) -> "Consent":
    """Stores a consent whose token another sign-in obtained at `signed_in`. Raises `WrongUsage` for text that is no token."""
    vault.check_it_can_store()
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
    """Returns the token that a person typed or piped in. Raises `WrongUsage` for any other text."""
    token = text.strip()
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or any(sign.isspace() for sign in token):
        raise WrongUsage("Standard input does not hold one token", "Pipe in the token alone, on one line")
    return token
