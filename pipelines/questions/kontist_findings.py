"""Looks at what is configured of Kontist, and whether the bank accepts it.

Nothing changes at the bank: no confirmation on the phone is begun, and no token is renewed whose successor could not be stored.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from socket import create_server
from urllib.parse import urlsplit

from pipelines.consents.clients import has_vault, vault_of
from pipelines.consents.ended import ended_consents
from pipelines.consents.kontist_login import kontist_client, mode_of, stored_login
from pipelines.consents.landing import REGISTER_ANOTHER, is_here, redirect_fault
from pipelines.errors import Failure
from pipelines.questions.finding import Finding
from pipelines.settings import KontistSettings, Settings
from pipelines.store.banks import KONTIST
from sources._errors import SourceError
from sources._http import Http, Pace, Patience
from sources.kontist.dialects import Dialect, answers
from sources.kontist.query_client import QueryClient
from sources.kontist.responses import BANK
from sources.kontist.scopes import CLIENT_MANAGEMENT, ScopeMissing, scopes_for


def look(settings: Settings, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Yields what was found, in the order in which a person would fix it."""
    own = settings.kontist
    by_oauth = own.dialect == "graphql"
    if by_oauth:
        yield from _redirect_address(own)
        if missing := [name for name in ("client_id", "client_secret") if not getattr(own, name)]:
            names = " and ".join(f"sources.kontist.{name}" for name in missing)
            yield Finding(
                "kontist application",
                "wrong",
                f"{names} {'is' if len(missing) == 1 else 'are'} not set: GraphQL needs both",
                _REGISTER,
            )
            return
    stored, no_login = _stored(settings)
    if not stored and not own.configured:
        yield no_login or Finding("kontist", "note", "no login: left out of runs", _how_to_log_in(own))
        return
    if not stored and own.uses_vault and own.refresh_token and not settings.vault_key:
        found = "not tried: the bank may replace sources.kontist.refresh_token, and without a vault key the new one would be lost"
        yield Finding("kontist login", "note" if own.has_password else "wrong", found, "Set pipelines.vault_key")
        return
    try:
        with kontist_client(settings, now) as client:
            accounts = client.accounts()
            lacking = (
                client.missing_scopes(accounts[0], scopes_for(orders=settings.kontist.read_orders))
                if isinstance(client, QueryClient) and accounts
                else ()
            )
        yield Finding("kontist login", "fine", f"accepted, {len(accounts)} accounts")
        if lacking:
            yield _refused(ScopeMissing(lacking))
    except (SourceError, Failure) as error:
        yield _other_dialect(own) or _refused(error)


_REGISTER = (
    f"Register an application at {CLIENT_MANAGEMENT} (sources/kontist/README.md, GraphQL), and set its client"
    " id and its secret in .dlt/secrets.toml"
)


def _how_to_log_in(own: KontistSettings) -> str:
    if own.dialect == "graphql":
        return "`connect kontist`, or set sources.kontist.refresh_token: an application alone reads nothing"
    return "`connect kontist`, or set sources.kontist.email and .password" if own.uses_vault else own.how_to_configure


def _refused(error: SourceError | Failure) -> Finding:
    about = "kontist"
    if isinstance(error, ScopeMissing):
        about = "kontist scopes"
    elif isinstance(error, SourceError) and error.code == "403":
        about = "kontist confirmation"
    return Finding(about, "wrong", error.cause, error.next_step)


def _redirect_address(own: KontistSettings) -> Iterator[Finding]:
    """Looks at where the browser lands after the customer has agreed."""
    about, address = "kontist redirect address", own.redirect_uri
    if fault := redirect_fault(address):
        yield Finding(about, "wrong", f"the setting sources.kontist.redirect_uri {fault}", REGISTER_ANOTHER)
    elif not is_here(address):
        found = f"{address}: this program does not listen there, and `connect kontist` asks for the address you land on"
        yield Finding(about, "note", found, "Copy it from the browser, also if the page there is an error")
    elif not _is_free(urlsplit(address).port or 0):
        found = f"another program uses the port of {address}, so `connect kontist` cannot wait there"
        yield Finding(about, "note", found, "Close that program before you connect")
    else:
        yield Finding(about, "fine", f"`connect kontist` waits at {address}, which must be the registered one")


def _is_free(port: int) -> bool:
    try:
        create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _stored(settings: Settings) -> tuple[bool, Finding | None]:
    """Returns whether a stored login can be used, and what is wrong where none can."""
    if not has_vault(settings) or not settings.kontist.uses_vault:
        return False, None
    try:
        with vault_of(settings) as vault:
            over = [login.status_reason for login in ended_consents(vault, KONTIST)]
            if stored_login(vault, mode_of(settings)) is not None:
                return True, None
            other = _other(settings.kontist.dialect)
            if stored_login(vault) is not None:
                found = f"the stored login is of the dialect {other}, and {settings.kontist.dialect} is set"
                next_step = f'`connect kontist` for a login of this dialect, or set sources.kontist.dialect to "{other}"'
                return False, Finding("kontist dialect", "wrong", found, next_step)
    except Failure:
        return False, None  # said of the vault
    return False, Finding("kontist", "wrong", f"the login is over: {over[0]}", "`connect kontist`") if over else None


def _other(dialect: Dialect) -> Dialect:
    return "graphql" if dialect == "rest" else "rest"


def _other_dialect(own: KontistSettings) -> Finding | None:
    """Returns a finding if the service answers in the other dialect, and not in the one that is set."""
    other = _other(own.dialect)
    try:
        http = Http(BANK, own.base_url, patience=Patience(()), pace=Pace(own.requests_per_minute))
    except SourceError:
        return None
    try:
        if answers(http, own.dialect) or not answers(http, other):
            return None
    except SourceError:
        return None
    finally:
        http.close()
    found = f"the service answers in the dialect {other}, and not in {own.dialect}, which is set"
    return Finding("kontist dialect", "wrong", found, f'Set sources.kontist.dialect to "{other}", then `connect kontist`')
