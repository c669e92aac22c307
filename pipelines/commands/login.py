"""The commands about the login at Kontist: `connect` and `disconnect kontist`, and its part of `consents add` and `renew`."""

import argparse
import sys
import webbrowser
from dataclasses import replace
from getpass import getpass

from pipelines.commands.terminal import data_of, print_json, say, settings_of
from pipelines.consents import kontist_login
from pipelines.consents.clients import vault_of
from pipelines.consents.disconnection import never_read, to_disconnect
from pipelines.consents.kontist_oauth import ByPhone, Person, sign_in
from pipelines.consents.landing import is_here
from pipelines.consents.sign_in import one_token
from pipelines.consents.upkeep import end_at_its_bank
from pipelines.errors import GOOD, WrongUsage
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from pipelines.store.lock import held, prepare
from pipelines.text.numbers import counted
from sources.kontist.auth import Login


def connect(options: argparse.Namespace) -> int:
    """Runs `connect kontist`: logs in once and stores the refresh token. The password is not kept."""
    settings = settings_of(options)
    _refuse_what_has_no_effect(options, settings)
    with held(settings.data_dir, "connect kontist", name="connect"):  # the second of two would end what the first has stored
        return _connect_by_link(options, settings) if settings.kontist.dialect == "graphql" else _by_password(options, settings)


def _refuse_what_has_no_effect(options: argparse.Namespace, settings: Settings) -> None:
    """Raises `WrongUsage` for an option of the other dialect, or of Kontomatik."""
    dialect = settings.kontist.dialect
    instead = {
        "email": "the customer types the e-mail on the bank's page" if dialect == "graphql" else None,
        "open": "there is no page to log in on" if dialect == "rest" else None,
        "redirect_url": "the address is the setting sources.kontist.redirect_uri",
    }
    for name in ("target", "mock", "login", "owner_external_id", "country", "locale"):
        instead[name] = "it is for Kontomatik"
    for name, reason in instead.items():
        if reason is not None and getattr(options, name, None):
            raise WrongUsage(
                f"--{name.replace('_', '-')} has no effect on the login at Kontist (dialect {dialect}): {reason}", "Leave it out"
            )


def _by_password(options: argparse.Namespace, settings: Settings) -> int:
    own = settings.kontist
    email = getattr(options, "email", None) or own.email
    password = own.password if email == own.email else None
    prepare(settings.data_dir)
    with vault_of(settings, start_new=getattr(options, "start_new", False)) as vault:
        vault.check_it_can_store()  # before anybody types a password for nothing
    email = email or _asked("E-mail at Kontist: ", "Give --email, or set" if hasattr(options, "email") else "Set")
    password = password or _password()
    return _store(options, settings, Login(email, password))


def add(options: argparse.Namespace, text: str) -> int:
    """Runs `consents add kontist`: stores a refresh token from elsewhere, e.g. confirmed on the customer's phone (MFA)."""
    settings = settings_of(options)
    login = Login(refresh_token=one_token(text))
    if settings.kontist.dialect == "graphql":
        login = replace(login, application=kontist_login.application_of(settings))
    with held(settings.data_dir, "consents add kontist", name="connect"):
        return _store(options, settings, login)


def _connect_by_link(options: argparse.Namespace, settings: Settings) -> int:
    """Shows the link where the customer agrees, and waits for them to come back."""
    wait: float = getattr(options, "wait", 600.0)

    def show(link: str) -> None:
        say(f"Open this link and agree: {link}", error=True)
        if is_here(settings.kontist.redirect_uri):
            say(f"Waiting for your browser at {settings.kontist.redirect_uri}, {wait:.0f} seconds. Ctrl-C gives up.", error=True)
        if getattr(options, "open", False):
            webbrowser.open(link)

    prepare(settings.data_dir)
    with vault_of(settings, start_new=getattr(options, "start_new", False)) as vault:
        vault.check_it_can_store()  # before somebody signs in for nothing
    login = sign_in(settings, Person(show, _pasted, wait))
    return _store(options, settings, login)


def disconnect(options: argparse.Namespace) -> int:
    """Runs `disconnect kontist`: ends the stored login at the bank; done when the bank has confirmed it."""
    settings = data_of(options)
    with vault_of(settings) as vault:
        consent = to_disconnect(vault, kontist_login.mode_of(settings))
        end_at_its_bank(settings, vault, consent.consent_id, utc_now)
        for other in never_read(vault, consent.access_mode):  # the next run would use it
            end_at_its_bank(settings, vault, other.consent_id, utc_now)
        consent = vault.consent(consent.consent_id)
        other_login = kontist_login.stored_login(vault)
    if options.json:
        print_json({"consent_id": consent.consent_id, "status": consent.status, "reason": consent.status_reason})
        return GOOD
    say(f"Consent {consent.consent_id} is {consent.status}: {consent.status_reason}.")
    if other_login is not None:
        say(f"Login {other_login.consent_id} is still stored. `disconnect kontist` once more ends it, too.", error=True)
    if settings.kontist.configured:
        say("The settings sources.kontist hold a login, too. Runs use it until you remove it.", error=True)
    return GOOD


def _store(options: argparse.Namespace, settings: Settings, login: Login) -> int:
    prepare(settings.data_dir)
    with vault_of(settings) as vault:
        by_phone = ByPhone(lambda text: say(text, error=True), utc_now, longest=getattr(options, "wait", 600.0))
        consent, sentences = kontist_login.connect(settings, vault, login, utc_now, by_phone)
        accounts = len(vault.accounts_of(consent.consent_id))
    days = consent.days_left(utc_now())
    if getattr(options, "json", False):
        answer = {"consent_id": consent.consent_id, "status": consent.status, "days_left": days, "accounts": accounts}
        print_json(answer | {"notes": sentences})
        return GOOD
    left = f"{counted(days or 0, 'day')} left, {counted(accounts, 'account')}"
    say(f"Stored consent {consent.consent_id} (Kontist), {left}. Now: `python -m pipelines run`.")
    for sentence in sentences:
        say(f"! {sentence}", error=True)
    return GOOD


def _pasted() -> str:
    """Returns the address of the page that the customer came to, pasted at the prompt or piped in as one line."""
    say("Paste the whole address of the page that you came to: ", end="", error=True)
    address = sys.stdin.readline().strip()
    if not address:
        raise WrongUsage("No address was pasted", "Run it again in a terminal, and copy the address once you have agreed")
    return address


def _asked(question: str, otherwise: str) -> str:
    if not sys.stdin.isatty():
        raise WrongUsage("No e-mail is known to log in with", f"{otherwise} sources.kontist.email")
    say(question, end="", error=True)
    return sys.stdin.readline().strip()


def _password() -> str:
    """Returns the password, typed unseen at a prompt or piped in as one line. Never an argument: others could see it."""
    password = getpass("Password (not shown): ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise WrongUsage("No password is given to log in with", "Type it at the prompt, or pipe it in on one line")
    return password
