"""The sign-in at Kontist by OAuth2: a link for the customer, the way back, and the confirmation on the phone."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.consents.clients import as_failures
from pipelines.consents.kontist_login import BankClient, application_of
from pipelines.consents.landing import REGISTER_ANOTHER, address_landed_on, is_here, redirect_fault
from pipelines.errors import WrongUsage
from pipelines.settings import Settings
from sources._http import Http, Pace
from sources.kontist.auth import Login
from sources.kontist.oauth import Confirmation, authorize_link, code_of, exchange
from sources.kontist.responses import BANK
from sources.kontist.scopes import scopes_for

SAID_EVERY = 30.0
"""Seconds between two sentences to a person who is waited for."""


@dataclass(frozen=True)
class Person:
    """Who signs in: `show` gets the link, `paste` asks for the address of the page that they came to."""

    show: Callable[[str], None]
    paste: Callable[[], str]
    seconds: float = 600.0
    """How long to wait for them."""


def sign_in(settings: Settings, person: Person) -> Login:
    """Returns the login of a customer who has agreed in the browser. Its refresh token is not stored yet.

    Raises `WrongUsage` where no application is configured, `BankSaidNo` when the customer or the bank refuses.
    """
    application = application_of(settings)
    if fault := redirect_fault(application.redirect_uri):
        raise WrongUsage(f"The setting sources.kontist.redirect_uri {fault}", REGISTER_ANOTHER)
    state = secrets.token_urlsafe(24)
    scopes = scopes_for(orders=settings.kontist.read_orders)
    link = authorize_link(settings.kontist.base_url, application, state, scopes)
    if is_here(application.redirect_uri):
        address = address_landed_on(application.redirect_uri, state, person.seconds, lambda: person.show(link))
    else:
        person.show(link)
        address = person.paste()
    with as_failures():
        code = code_of(address, application, state)
        http = Http(BANK, settings.kontist.base_url, pace=Pace(settings.kontist.requests_per_minute))
        try:
            _, refresh = exchange(http, application, code)
        finally:
            http.close()
    return Login(refresh_token=refresh, application=application)


@dataclass(frozen=True)
class ByPhone:
    """Has the customer confirm a login on the phone; `say` tells them, and twice a minute how long the bank still waits."""

    say: Callable[[str], None]
    now: Callable[[], datetime]
    sleep: Callable[[float], None] = field(default=time.sleep)
    longest: float = 600.0
    """Seconds to wait at most."""

    def __call__(self, client: BankClient) -> None:
        """Waits for the confirmation, and gives its tokens to the client."""
        self.say("Confirm the login in Kontist's app on your phone.")
        access = client.tokens.authorization().removeprefix("Bearer ")
        said_at: list[float] = []

        def waiting(left: float) -> None:
            if not said_at or said_at[-1] - left >= SAID_EVERY:
                if said_at:
                    self.say(f"Still waiting for the confirmation, {left:.0f} seconds left. Ctrl-C gives up.")
                said_at.append(left)

        confirmation = Confirmation(client.http, self.sleep, self.now, longest=self.longest, waiting=waiting)
        client.tokens.adopt(*confirmation.confirmed(access))
