"""Keeps the login at Kontist, a second kind of consent. Its secret is the refresh token, valid 30 days unless it says otherwise.

A run uses the newest stored login of its dialect, else that of the settings. A renewal holds a lock, because a bank that gives a
new refresh token with each renewal takes the old one for stolen (observed). The new one is stored before its first use.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, vault_of
from pipelines.consents.renewals import marked, one_renewal
from pipelines.consents.revocation import OVER, StillRevoking, end_stored, to_be_ended
from pipelines.consents.states import USABLE, MoveRefused
from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store import unfinished
from pipelines.store.lock import prepare
from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unavailable
from sources._http import Http, Pace, Patience
from sources.kontist.accounts import Account
from sources.kontist.auth import Application, Login, expiry
from sources.kontist.client import KontistClient
from sources.kontist.query_client import QueryClient, by_oauth
from sources.kontist.responses import BANK
from sources.kontist.scopes import CLIENT_MANAGEMENT, INDISPENSABLE, ScopeMissing, scopes_for

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault


LIFETIME = timedelta(days=30)
"""Of a refresh token that does not say how long it lives (vendor document)."""
OAUTH_LIFETIME = timedelta(days=365)
"""The same of one by OAuth2 (vendor document). Where it ends earlier, the bank's refusal expires the login."""
LOGIN = "LOGIN"
"""`access_mode` of such a consent: it reads whatever the login may see, as often as it likes."""
OAUTH = "OAUTH"
"""The same of a login by OAuth2, for the dialect `graphql`: the tokens of one dialect are of no use in the other."""

BankClient = KontistClient | QueryClient
Confirm = Callable[[BankClient], None]
"""Has the customer confirm a client's tokens on the phone."""


class NotLoggedIn(Failure):
    """The login did not lead to a token that can read."""


def mode_of(settings: Settings) -> str:
    """Returns the `access_mode` of the logins that the configured dialect uses."""
    return OAUTH if settings.kontist.dialect == "graphql" else LOGIN


def stored_login(vault: "Vault", mode: str | None = None) -> "Consent | None":
    """Returns the newest login that can be used, of one `access_mode` or of any.

    A login that has read the list of accounts goes before a newer one that has not: that one's `connect` was killed.
    """
    usable = usable_logins(vault, mode)
    return next((one for one in usable if vault.accounts_of(one.consent_id)), next(iter(usable), None))


def usable_logins(vault: "Vault", mode: str | None) -> "list[Consent]":
    """Returns the logins that can be used, newest first."""
    return [one for one in reversed(vault.consents(source=BANK, status=USABLE)) if mode in (None, one.access_mode)]


def application_of(settings: Settings) -> Application:
    """Returns the application that is registered at Kontist. Raises `WrongUsage` where none is configured."""
    own = settings.kontist
    if not (own.client_id and own.client_secret):
        raise WrongUsage(
            "Kontist's GraphQL needs an application that is registered there",
            f"Register one at {CLIENT_MANAGEMENT}, then set sources.kontist.client_id and sources.kontist.client_secret in"
            " .dlt/secrets.toml",
        )
    return Application(own.client_id, own.client_secret, own.redirect_uri)


def login_by(settings: Settings, refresh_token: str | None) -> Login:
    """Returns the login by a refresh token, in the configured dialect, else by the settings' e-mail and password."""
    own = settings.kontist
    if own.dialect == "graphql":
        return Login(refresh_token=refresh_token, application=application_of(settings))
    return Login(own.email, own.password, refresh_token, own.auth)


@dataclass
class KeptLogin:
    """A login and where its refresh token is kept: in the vault under `consent`, or under a new one where it `stores` any.

    `vault` is None where there is none yet. `replaces` is what a new consent takes the place of.
    """

    settings: Settings
    vault: "Vault | None"
    now: Callable[[], datetime]
    login: Login
    consent: "Consent | None" = None
    stores: bool = False
    replaces: str | None = None
    cut_off: str | None = None
    """When an earlier renewal began that never stored its answer."""

    def keep(self, token: str) -> None:
        """Stores a refresh token that the bank gave. Raises `WrongUsage` without a vault key."""
        if self.consent is None and not self.stores:
            return
        with self._opened() as vault:
            if self.consent is None:
                mode = OAUTH if self.login.application else LOGIN
                self.consent = add_login(vault, token, self.now(), replaces=self.replaces, mode=mode)
            else:
                ends = ends_at(token, self.now(), self.consent.access_mode)
                vault.keep_token(self.consent.consent_id, token, self.now(), expires_at=ends)

    @contextmanager
    def renewing(self) -> Iterator[str | None]:
        """Keeps other processes from renewing; yields the refresh token that is stored by then."""
        if self.consent is None:
            yield None
            return
        data_dir = self.settings.data_dir
        with one_renewal(data_dir), self._opened() as vault, vault.database.alone(f"renewal of {self.consent.consent_id}"):
            vault.check_it_can_store()  # else a new token would be lost, and the old one be worthless
            with marked(data_dir, self.now()) as self.cut_off:
                yield vault.token(self.consent.consent_id)
        self.cut_off = None

    def over(self, code: str) -> None:
        """Expires the stored login, which the bank refuses for good."""
        cut_off = f"; the renewal of {self.cut_off} was cut off, and what it brought is lost" if self.cut_off else ""
        self.give_up(f"the bank does not accept it any more: {code}{cut_off}")

    def give_up(self, reason: str) -> None:
        """Expires the stored login."""
        if self.consent is not None:
            with self._opened() as vault, suppress(MoveRefused):  # somebody has ended it meanwhile
                vault.move(self.consent.consent_id, "expired", reason, self.now())

    def covers(self, account_ids: Iterable[str]) -> None:
        """Records the accounts that the stored login reads."""
        if self.consent is not None:
            with self._opened() as vault:
                vault.covers(self.consent.consent_id, account_ids)

    @contextmanager
    def _opened(self) -> "Iterator[Vault]":
        if self.vault is not None:
            yield self.vault
            return
        prepare(self.settings.data_dir)
        with vault_of(self.settings) as vault:
            yield vault


def kept_login(settings: Settings, vault: "Vault | None", now: Callable[[], datetime]) -> KeptLogin:
    """Returns the login of a run: the stored refresh token before the configured one, and that before e-mail and password.

    What a configured refresh token is renewed to is stored, since the configured one may be worthless then. What a password
    gets is not: it gets it again.
    """
    own = settings.kontist
    consent = stored_login(vault, mode_of(settings)) if vault is not None and own.uses_vault else None
    stored = vault.token(consent.consent_id) if vault is not None and consent is not None else None
    stores = bool(own.refresh_token and own.uses_vault and (settings.vault_key or not own.password))
    return KeptLogin(settings, vault, now, login_by(settings, stored or own.refresh_token), consent, stores)


def ends_at(token: str, now: datetime, mode: str = LOGIN) -> datetime:
    """Returns the end that a refresh token states itself, since lifetimes differ from the document (observed)."""
    says, assumed = expiry(token), now + (OAUTH_LIFETIME if mode == OAUTH else LIFETIME)
    try:
        return datetime.fromtimestamp(says, UTC) if says is not None else assumed
    except (OverflowError, ValueError, OSError):
        return assumed


def add_login(vault: "Vault", token: str, now: datetime, *, replaces: str | None = None, mode: str = LOGIN) -> "Consent":
    """Stores a refresh token as a new login. Raises `WrongUsage` without a vault key, and for a token that is over."""
    end = ends_at(token, now, mode)
    if end <= now:
        raise WrongUsage(
            "This refresh token is over already, by the clock of this machine",
            "Check the clock (python -m pipelines doctor), else log in again: python -m pipelines connect kontist",
        )
    return vault.add(
        source=BANK, institution="Kontist", access_mode=mode, now=now, token=token, replaces=replaces, expires_at=end
    )


def connect(
    settings: Settings, vault: "Vault", login: Login, now: Callable[[], datetime], confirm: Confirm | None = None
) -> "tuple[Consent, list[str]]":
    """Logs in with e-mail and password, or with a given refresh token; stores the token and reads the list of accounts.

    `confirm` is called when the bank refuses an unconfirmed token; what it brings is stored in place of that. Other logins of the
    same dialect end once the new one has read the list of accounts. Returns the new consent and sentences for people.
    Raises `WrongUsage` for a wrong password, `NotLoggedIn` when the bank refuses.
    """
    vault.check_it_can_store()
    before = stored_login(vault, OAUTH if login.application else LOGIN)
    kept = KeptLogin(settings, vault, now, login, stores=True, replaces=before.consent_id if before else None)
    if login.refresh_token is not None:
        kept.keep(login.refresh_token)
    sentences: list[str] = []
    try:
        with client_of(kept) as client:
            accounts = _accounts_of(client, confirm)
            if kept.consent is None:
                raise NotLoggedIn(
                    "Kontist: the bank takes the e-mail and the password, but gives no refresh token that could be stored",
                    "Set sources.kontist.email and sources.kontist.password: each run logs in with them",
                )
            sentences += _scopes_refused(client, accounts, scopes_for(orders=settings.kontist.read_orders))
            account_ids = {one.account_id for one in accounts}
            _refuse_another_customer(vault, before, account_ids)
            vault.covers(kept.consent.consent_id, account_ids)
            sentences += _others_ended(kept, client)
    except Failure:
        kept.give_up("not used")
        raise
    except KeyboardInterrupt:
        if kept.consent is not None and not vault.accounts_of(kept.consent.consent_id):
            kept.give_up("interrupted before it could read anything")
        raise
    except Misconfigured as error:
        kept.over(error.code)
        typed = login.password is not None and login.password != settings.kontist.password
        next_step = "Type them again, as the bank's own app takes them" if typed else error.next_step
        raise WrongUsage(f"{BANK.capitalize()}: {error.cause}", f"{_left_behind(kept)}. {next_step}") from None
    except SourceError as error:
        kept.give_up(f"the login did not succeed: {error.cause}")
        raise NotLoggedIn(f"{BANK.capitalize()}: {error.cause}", f"{_left_behind(kept)}. {error.next_step}") from None
    return vault.consent(kept.consent.consent_id), sentences


def _accounts_of(client: BankClient, confirm: Confirm | None) -> list[Account]:
    """Returns the accounts. A login that the bank refuses (403) is confirmed on the phone first, unless it lacks a scope."""
    try:
        return client.accounts()
    except ScopeMissing:
        raise
    except Rejected as error:
        if error.code != "403" or confirm is None:
            raise
    confirm(client)
    try:
        return client.accounts()
    except Rejected as error:
        if error.code != "403":
            raise
    if isinstance(client, QueryClient):
        raise ScopeMissing(("accounts",))
    raise Rejected(
        BANK,
        "the bank refuses access, though the login is confirmed on the phone",
        "Ask Kontist whether this customer may use it",
    )


def _scopes_refused(client: BankClient, accounts: list[Account], wanted: tuple[str, ...]) -> list[str]:
    """Returns sentences about missing scopes that a reader can do without. Raises `ScopeMissing` for the others."""
    lacking = client.missing_scopes(accounts[0], wanted) if isinstance(client, QueryClient) and accounts else ()
    if vital := [name for name in lacking if name in INDISPENSABLE]:
        raise ScopeMissing(vital)
    return [str(ScopeMissing(lacking))] if lacking else []


def _others_ended(kept: KeptLogin, client: BankClient) -> list[str]:
    """Ends every other login of the same dialect: the one before, and what a killed `connect` has left. Returns sentences."""
    vault, consent, sentences = kept.vault, kept.consent, list[str]()
    assert vault is not None  # noqa: S101 (`connect` was given it)
    assert consent is not None  # noqa: S101 (it is stored by now)
    others = [one for one in usable_logins(vault, consent.access_mode) if one.consent_id != consent.consent_id]
    for other in others:
        vault.move(other.consent_id, "replaced", f"by {consent.consent_id}", kept.now())
        try:
            end_login(kept.settings, vault, other.consent_id, kept.now)
        except StillRevoking as failure:
            sentences.append(str(failure))
    if others and consent.access_mode != OAUTH:  # a bank that ends all tokens of a customer at once is logged in to once more
        try:
            client.tokens.renew()
        except Unavailable as error:
            sentences.append(f"The new login is stored, and could not be tried again: {error}")
    return sentences


def _left_behind(kept: KeptLogin) -> str:
    """Returns what a failed login leaves: a token is stored before its use, and its end is on record."""
    if kept.consent is None:
        return "No login was stored"
    return f"This login was not kept; `consents list` shows {kept.consent.consent_id} as expired"


@contextmanager
def client_of(kept: KeptLogin, *, patience: Patience | None = None) -> Iterator[BankClient]:
    """Opens a client with this login; as patient as a run, unless `patience` is given."""
    own = kept.settings.kontist
    http = Http(BANK, own.base_url, patience=patience, pace=Pace(own.requests_per_minute))
    kind = KontistClient if kept.login.application is None else by_oauth
    try:
        yield kind(
            http,
            kept.login,
            clock=lambda: kept.now().timestamp(),
            on_new_refresh_token=kept.keep,
            renewing=kept.renewing,
        )
    finally:
        http.close()


def _refuse_another_customer(vault: "Vault", before: "Consent | None", accounts: set[str]) -> None:
    if before is not None and set(vault.accounts_of(before.consent_id)) - accounts:
        raise WrongUsage(
            f"This login does not read all accounts of consent {before.consent_id}, which stays as it is",
            "If that is meant: `python -m pipelines disconnect kontist`, then connect again",
        )


@dataclass(frozen=True)
class Ending:
    """Ends logins at the bank; implements `revocation.Ends`."""

    settings: Settings
    now: Callable[[], datetime]

    def delete(self, token: str) -> None:
        """Ends this refresh token, and the auth token of this request; what was read with it and not loaded goes.

        Raises `ConsentGone` if it was gone already.
        """
        unfinished.forget_all(self.settings.data_dir)
        kept = KeptLogin(self.settings, None, self.now, Login(refresh_token=token))
        with one_renewal(self.settings.data_dir), client_of(kept) as client:
            if not client.tokens.invalidate():
                raise ConsentGone(BANK, "the login was over already")


def end_login(settings: Settings, vault: "Vault", consent_id: str, now: Callable[[], datetime]) -> None:
    """Ends a stored login at the bank. Raises `StillRevoking` when the bank has not confirmed it.

    The vendor documents no request that ends a login by OAuth2: its token is forgotten, and the reason says so.
    """
    consent = vault.consent(consent_id)
    if consent.access_mode != OAUTH or consent.status in OVER:
        end_stored(vault, Ending(settings, now), consent_id, now())
        return
    unfinished.forget_all(settings.data_dir)
    vault.move(consent_id, "revoking", "asked for", now())
    newer = stored_login(vault, OAUTH)
    if newer is not None and vault.accounts_of(newer.consent_id):  # to end the application's access would end that one, too
        reason = f"its token is forgotten; {newer.consent_id} reads on with the same application"
    else:
        reason = "its token is forgotten; end the application's access in Kontist's own settings"
    vault.move(consent_id, "revoked", reason, now())


def maintain(vault: "Vault", settings: Settings, now: datetime) -> "list[tuple[Consent, str]]":
    """Lets logins age and tries pending ends again; returns the logins that a person has to know about, each with the reason.

    A login that another one has replaced is not tried again: where the bank ends all tokens of a customer at once (its request
    names none), that would end the new one. It is over when its own time is.
    """
    vault.age(now)
    troubles = []
    usable = stored_login(vault)
    for consent in to_be_ended(vault, BANK):
        if consent.expires_at is not None and consent.expires_at <= now:
            vault.move(consent.consent_id, "revoking", "asked for", now)
            vault.move(consent.consent_id, "revoked", "its time is over", now)
        elif usable is None or consent.status in USABLE:
            try:
                end_login(settings, vault, consent.consent_id, lambda: now)
            except StillRevoking as failure:
                troubles.append((consent, str(failure)))
    return troubles


@contextmanager
def kontist_client(settings: Settings, now: Callable[[], datetime], vault: "Vault | None" = None) -> Iterator[BankClient]:
    """Opens a client of Kontist with the login of a run. An open `vault` may be given."""
    with ExitStack() as stack:
        if vault is None and has_vault(settings):
            vault = stack.enter_context(vault_of(settings))
        yield stack.enter_context(client_of(kept_login(settings, vault, now)))
