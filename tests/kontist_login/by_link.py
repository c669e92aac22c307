"""Logins by OAuth2: the customer's browser, the pasted address, and the whole of `connect kontist` in this dialect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from pipelines.consents import kontist_login
from pipelines.consents.kontist_oauth import ByPhone, Person, sign_in
from pipelines.consents.vault import Consent
from pipelines.settings import Settings
from sources.kontist.auth import Login
from tests.kontist_login.logins import Customer

ELSEWHERE = "https://ledger.example.test/kontist"


def settings_of(customer: Customer, **more: Any) -> Settings:
    world = customer.world
    own = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
    return customer.settings(**{"dialect": "graphql", "redirect_uri": ELSEWHERE} | own | more)


def visited(link: str) -> str:
    """Where the browser lands after the customer has answered."""
    return httpx.get(link).headers["Location"]


def by_pasting(customer: Customer, change: Callable[[str], str] = lambda address: address, **more: Any) -> Login:
    shown: list[str] = []
    return sign_in(settings_of(customer, **more), Person(shown.append, lambda: change(visited(shown[0]))))


def later(customer: Customer, seconds: float) -> None:
    customer.world.clock.advance(timedelta(seconds=seconds * 30))


def connect(customer: Customer, login: Login | None = None, said: list[str] | None = None) -> Consent:
    now = customer.world.clock.now
    by_phone = ByPhone((said if said is not None else []).append, now, lambda seconds: later(customer, seconds))
    with customer.vault() as vault:
        return kontist_login.connect(settings_of(customer), vault, login or by_pasting(customer), now, by_phone)[0]
