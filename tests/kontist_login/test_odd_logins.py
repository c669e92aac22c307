"""What a login at Kontist meets in the wild: odd addresses, browsers, clocks, proxies, full disks, options that do nothing."""

import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from pipelines.consents import kontist_login
from pipelines.consents.database import VaultBroken
from pipelines.consents.kontist_oauth import Person, sign_in
from sources._errors import Rejected, SourceError
from sources._http import Http, Patience
from sources.kontist.auth import Application
from sources.kontist.oauth import Confirmation, code_of
from sources.sandbox import DropsConnection
from tests.kontist_login.by_link import connect, settings_of, visited
from tests.kontist_login.logins import a_customer, good
from tests.kontist_login.test_hostile_logins import Says
from tests.kontist_login.test_interrupted_logins import environment, token
from tests.patience import patient
from tests.support import command

OWN = "https://ledger.example.test"
ENDS = "2026-03-01T12:05:00.000Z"
TOO_LATE = datetime(2026, 3, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("registered", "landed"),
    [
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765/?"),
        ("http://127.0.0.1:80/callback", "http://127.0.0.1/callback?"),
        ("https://Ledger.Example.test:443/Kontist", f"{OWN}/Kontist?"),
        (f"{OWN}/mein konto/ä", f"{OWN}/mein%20konto/%C3%A4?"),
        (f"{OWN}/kontist?app=1", f"{OWN}/kontist?app=1&"),
    ],
)
def test_an_address_is_recognised_as_the_browser_writes_it(registered: str, landed: str) -> None:
    assert code_of(f"{landed}code=abc&state=s", Application("id", "secret", registered), "s") == "abc"


@pytest.mark.parametrize("landed", [f"{OWN}:8443/?", f"{OWN}:x/?", f"{OWN}/kontist?", f"https://you@{OWN[8:]}/?"])
def test_another_place_is_not_the_address(landed: str) -> None:
    with pytest.raises(Rejected, match="not the redirect address"):
        code_of(f"{landed}code=abc&state=s", Application("id", "secret", OWN), "s")


def test_a_browser_comes_back_to_an_address_without_a_path_past_connections_that_it_never_uses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        here = f"http://127.0.0.1:{free.getsockname()[1]}"
    unused: list[socket.socket] = []
    statuses: list[int] = []

    def browser(link: str) -> None:
        statuses.append(httpx.get(visited(link), timeout=patient(4)).status_code)

    def show(link: str) -> None:
        unused.append(socket.create_connection(("127.0.0.1", int(here.rpartition(":")[2]))))
        threads.append(Thread(target=browser, args=(link,)))
        threads[0].start()

    threads: list[Thread] = []
    with a_customer(tmp_path) as customer:
        assert sign_in(settings_of(customer, redirect_uri=here), Person(show, str, seconds=20)).refresh_token
        threads[0].join()
        unused[0].close()
    assert statuses == [200]


def phone(*answers: httpx.Response) -> tuple[str, str]:
    """Asks a bank that answers so, by a clock that is an hour ahead."""
    left = iter([httpx.Response(201, json={"id": "c", "status": "PENDING", "expiresAt": ENDS}), *answers])
    http = Http("kontist", "https://kontist.test", patience=Patience(()), transport=httpx.MockTransport(lambda _: next(left)))
    return Confirmation(http, lambda _: None, lambda: TOO_LATE).confirmed("a")


def test_a_clock_that_is_ahead_leaves_time_to_confirm() -> None:
    pair = {"token": "t", "refresh_token": "r"}
    states = [httpx.Response(200, json={"status": one}) for one in ("PENDING", "PENDING", "VERIFIED")]
    assert phone(*states, httpx.Response(200, json=pair)) == ("t", "r")


def test_a_confirmation_that_the_bank_has_forgotten_is_over() -> None:
    with pytest.raises(SourceError, match="the confirmation on the phone is over") as caught:
        phone(httpx.Response(404))
    assert "base_url" not in str(caught.value)


class Proxy(Says):
    """Answers for the bank, whatever it is asked."""

    def before(self, call, _, /):  # type: ignore[no-untyped-def]
        return self.says


@pytest.mark.parametrize(("dialect", "status"), [("graphql", 400), ("graphql", 451), ("rest", 401)])
def test_a_proxy_that_answers_for_the_bank_ends_no_login(tmp_path: Path, dialect: str, status: int) -> None:
    with a_customer(tmp_path) as customer:
        connect(customer) if dialect == "graphql" else customer.connect()
        settings = settings_of(customer) if dialect == "graphql" else customer.settings()
        customer.bank.faults.append(Proxy(b"<html>blocked</html>", status, "text/html"))
        assert customer.read(settings).all_failed
        assert customer.states() == ["active"]
        customer.bank.faults.clear()
        assert good(customer.read(settings))


def test_a_login_that_is_lost_with_an_answer_says_so(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        connect(customer)
        customer.bank.kontist.oauth.rotates = True
        customer.bank.faults.append(DropsConnection(times=1, path_contains="/oauth/token"))
        (outcome,) = customer.read(settings_of(customer)).outcomes
        assert "an answer to this renewal broke off before" in (outcome.reason or "")
        assert customer.states() == ["expired"]


@contextmanager
def a_full_disk() -> Iterator[None]:
    """No file grows: as with no space left, but for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _fill_the_disk() -> None:
    sys.dont_write_bytecode = True  # of modules that are imported from now on: half of one would stay
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


def test_nobody_signs_in_for_a_token_that_a_full_disk_cannot_hold(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        with customer.vault():
            pass
        for words in (("connect", "kontist"), ("consents", "add", "kontist")):
            ended = command(tmp_path, environment(customer), *words, given=f"{token(customer)}\n", inside=_fill_the_disk)
            assert ended.status == 1
            assert "its disk has space left" in ended.err
        assert customer.bank.requests == []


def test_a_token_is_not_renewed_while_a_full_disk_cannot_hold_the_next_one(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent = connect(customer)
        customer.bank.kontist.oauth.rotates = True
        customer.bank.requests.clear()
        with customer.vault() as vault:
            kept = kontist_login.kept_login(settings_of(customer), vault, customer.world.clock.now)
            with kontist_login.client_of(kept) as client, a_full_disk(), pytest.raises(VaultBroken, match="cannot be used"):
                client.accounts()
        assert customer.bank.requests == []
        assert customer.alive(customer.token(consent))


@pytest.mark.parametrize(
    ("dialect", "option"),
    [
        ("graphql", ("--email", "ada@example.test")),
        ("rest", ("--open",)),
        ("graphql", ("--redirect-url", "https://ledger.example.test")),
        ("graphql", ("--target", "KontoBankApi")),
        ("rest", ("--mock",)),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(tmp_path: Path, dialect: str, option: tuple[str, ...]) -> None:
    with a_customer(tmp_path) as customer:
        environ: dict[str, Any] = environment(customer, SOURCES__KONTIST__DIALECT=dialect)
        ended = command(tmp_path, environ, "connect", "kontist", *option)
        assert ended.status == 2
        assert f"{option[0]} has no effect on the login at Kontist" in ended.err
        assert customer.bank.requests == []
