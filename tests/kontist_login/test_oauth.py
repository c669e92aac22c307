"""Kontist's live service: `connect kontist` by a link, what is stored, the runs after it, the change of dialect."""

from dataclasses import replace
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from pipelines.consents import kontist_login
from pipelines.consents.clients import BankSaidNo
from pipelines.consents.disconnection import to_disconnect
from pipelines.consents.kontist_oauth import Person, sign_in
from pipelines.consents.landing import NobodyCame
from pipelines.errors import WrongUsage
from tests.kontist_login.by_link import ELSEWHERE, by_pasting, connect, settings_of, visited
from tests.kontist_login.logins import a_customer, good


def test_a_login_by_link_is_stored_before_it_reads_and_every_run_uses_it(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.oauth.rotates = True
        consent = connect(customer)
        assert (consent.access_mode, consent.status, consent.days_left(customer.world.clock.now())) == ("OAUTH", "active", 29)
        first = customer.token(consent)
        asked = [path for _, path in customer.bank.requests]
        assert asked == ["/api/oauth/authorize", "/api/oauth/token", "/api/oauth/token", "/api/graphql"]

        report = customer.read(settings_of(customer))
        assert good(report)
        assert first != customer.token(consent), "rotated, and stored"
        assert first.encode() not in customer.on_disk()
        ((count, cents),) = customer.rows("select count(*), sum(amount_cents)::bigint from kontist.transactions")
        own = [account for account in customer.world.accounts if account.bank == "kontist"]
        assert (count, cents) == (sum(len(one.rows) for one in own), sum(one.balance_cents for one in own))

        before = customer.bank.count("POST", "/graphql")
        again = customer.read(settings_of(customer))
        assert good(again)
        assert sum(one.counts.new + one.counts.changed + one.counts.removed for one in again.outcomes) == 0
        assert customer.bank.count("POST", "/graphql") - before == 4, "the accounts, a page each, and both lists of orders"


def test_the_browser_comes_back_to_this_machine(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        here = f"http://127.0.0.1:{port}/callback"
        with a_customer(tmp_path) as customer, pytest.raises(WrongUsage, match=f"Port {port} of this machine is in use"):
            sign_in(settings_of(customer, redirect_uri=here), Person(lambda _: None, str))
    statuses: list[int] = []

    def browser(link: str) -> None:
        lands = visited(link)
        statuses.extend(httpx.get(address).status_code for address in (f"{here}?code=x&state=another", f"{here[:-8]}icon", lands))

    with a_customer(tmp_path) as customer:
        threads: list[Thread] = []

        def show(link: str) -> None:
            threads.append(Thread(target=browser, args=(link,)))
            threads[0].start()

        login = sign_in(settings_of(customer, redirect_uri=here), Person(show, str))
        threads[0].join()
        assert login.refresh_token
        assert statuses == [404, 404, 200]
        with pytest.raises(NobodyCame, match="timed out"):
            sign_in(settings_of(customer, redirect_uri=here), Person(lambda _: None, str, seconds=0))


def test_an_address_that_is_not_of_this_login_is_refused(tmp_path: Path) -> None:
    def with_state(address: str) -> str:
        return address.replace("state=", "state=x")

    with a_customer(tmp_path) as customer:
        for change, says in (
            (with_state, "belongs to another login"),
            (lambda _: "https://evil.example.test/kontist?code=1&state=2", "not the redirect address"),
            (lambda address: address.split("code=")[0] + address.split("&")[1], "holds no code"),
        ):
            with pytest.raises(BankSaidNo, match=says):
                by_pasting(customer, change)
        assert customer.bank.count("POST", "/oauth/token") == 0
        customer.bank.kontist.oauth.denies = True
        with pytest.raises(BankSaidNo, match="refused by the customer"):
            by_pasting(customer)
        with pytest.raises(WrongUsage, match=r"sources\.kontist\.client_id"):
            by_pasting(customer, client_id=None)


def test_the_link_asks_for_what_a_reader_needs_and_each_login_has_its_own_state(tmp_path: Path) -> None:
    links: list[str] = []
    with a_customer(tmp_path) as customer:
        for _ in range(2):
            sign_in(settings_of(customer), Person(links.append, lambda: visited(links[-1])))
    first, second = (parse_qs(urlsplit(link).query) for link in links)
    assert first["scope"] == ["accounts transactions transfers offline"]
    assert first["redirect_uri"] == [ELSEWHERE]
    assert len(first["state"][0]) >= 32
    assert first["state"] != second["state"]


@pytest.mark.parametrize("dialect", ["graphql", "rest"])
def test_an_unconfirmed_login_is_confirmed_on_the_phone_and_then_kept(tmp_path: Path, dialect: str) -> None:
    with a_customer(tmp_path) as customer:
        oauth, said = customer.bank.kontist.oauth, list[str]()
        oauth.skips_mfa, oauth.challenge_polls = True, 3
        if dialect == "rest":
            customer.bank.kontist.wants_confirmation = True
        consent = connect(customer, None if dialect == "graphql" else customer.login, said)
        assert said[0] == "Confirm the login in Kontist's app on your phone."
        assert [line.partition(",")[0] for line in said[1:]] == ["Still waiting for the confirmation"]
        assert customer.bank.count("GET", "/mfa/challenges") == 3
        assert consent.status == "active"
        customer.bank.kontist.tokens.end_all("auth")
        settings = settings_of(customer) if dialect == "graphql" else customer.settings()
        assert good(customer.read(settings)), "what is stored renews confirmed tokens"


@pytest.mark.parametrize(("answer", "says"), [("DENIED", "denied on the phone"), ("PENDING", "nobody has confirmed")])
def test_a_login_that_nobody_confirms_is_not_kept(tmp_path: Path, answer: Any, says: str) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.oauth.skips_mfa = True
        customer.bank.kontist.oauth.challenge = answer
        with pytest.raises(kontist_login.NotLoggedIn, match=says):
            connect(customer)
        assert customer.states() == ["expired"]


def test_a_login_by_oauth_that_is_ended_is_forgotten_and_nothing_claims_more(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent = connect(customer)
        asked = len(customer.bank.requests)
        with customer.vault() as vault:
            kontist_login.end_login(settings_of(customer), vault, consent.consent_id, customer.world.clock.now)
            ended = vault.consent(consent.consent_id)
        assert (ended.status, ended.has_token) == ("revoked", False)
        assert "forgotten" in (ended.status_reason or "")
        assert len(customer.bank.requests) == asked, "there is nothing to ask for"


def test_each_dialect_uses_its_own_login(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        of_rest, _ = customer.connect()
        (outcome,) = customer.read(settings_of(customer)).outcomes
        assert "no login of the dialect graphql is stored" in (outcome.reason or "")
        assert outcome.status == "failed", "a run that leaves out a bank which somebody has connected does not end with 0"
        of_oauth = connect(customer)
        assert customer.states() == ["active", "active"]
        for settings, consent in ((customer.settings(), of_rest), (settings_of(customer), of_oauth)):
            with customer.vault() as vault:
                kept = kontist_login.kept_login(settings, vault, customer.world.clock.now)
            assert kept.consent is not None
            assert kept.consent.consent_id == consent.consent_id
            with customer.vault() as vault:
                mode = kontist_login.mode_of(settings)
                assert to_disconnect(vault, mode).consent_id == consent.consent_id
        assert kontist_login.login_by(replace(settings_of(customer)), "x").application is not None


def test_a_login_by_link_that_another_one_replaces_does_not_advise_to_end_the_access_of_both(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        old, new = connect(customer), connect(customer)
        with customer.vault() as vault:
            replaced = vault.consent(old.consent_id)
        assert replaced.status == "revoked"
        assert replaced.status_reason == f"its token is forgotten; {new.consent_id} reads on with the same application"


def test_another_dialect_keeps_the_accounts_and_doubles_nothing(tmp_path: Path) -> None:
    """Only the ids differ: each row goes and comes again, and is not held for confirmation."""
    current = (
        "select account_id, count(*), sum(amount_cents)::bigint from kontist.transactions where _dlt_valid_to is null group by 1"
    )
    with a_customer(tmp_path) as customer:
        customer.connect()
        connect(customer)
        assert good(customer.read())
        before, rows = sorted(customer.rows(current)), sum(count for _, count, _ in customer.rows(current))
        for settings in (settings_of(customer), customer.settings()):
            report = customer.read(settings)
            assert good(report)
            assert sum(one.counts.new for one in report.outcomes) == rows
            assert sorted(customer.rows(current)) == before


def test_raw_history_is_the_bank_s_after_every_change(tmp_path: Path) -> None:
    current = "select amount_cents, valuta_date is null from kontist.transactions where _dlt_valid_to is null order by all"

    def follows() -> None:
        assert good(customer.read(settings))
        rows = [row for one in world.accounts if one.bank == "kontist" for row in one.rows.values()]
        assert customer.rows(current) == sorted((row.cents, row.booked_on is None) for row in rows)

    with a_customer(tmp_path) as customer:
        settings, world = settings_of(customer, refresh_token=customer.bank.kontist.oauth.pair()[1]), customer.world
        later = world.account("4712")
        world.accounts.remove(later)
        pending, first = world.append("4711", amount="-10.00", pending=True), world.append("4711", amount="-20.00")
        follows()
        world.book(pending, amount="-10.50")
        world.correct(first, amount="-21.00")
        follows()
        world.delete(first)
        world.correct(world.account("4711").newest_first()[20], amount="-3.33")  # too old for a read of a few days
        world.accounts.append(later)
        world.live(8)  # everything is read once a week
        follows()
