"""What `doctor` finds about Kontist: one finding for each thing, with its next step, and nothing changed at the bank."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from pipelines.questions.finding import Finding
from pipelines.questions.kontist_findings import look
from pipelines.settings import Settings
from sources.sandbox import HtmlInsteadOfJson
from tests.kontist_login.by_link import connect, settings_of
from tests.kontist_login.logins import Customer, a_customer, good

ALL = "accounts transactions transfers offline"


def found(customer: Customer, settings: Settings) -> dict[str, Finding]:
    """What is not fine, by what it is about. Whatever is found, the bank's phone was left alone."""
    listed = list(look(settings, customer.world.clock.now))
    assert len({one.about for one in listed}) == len(listed), "one finding for each thing"
    assert all(one.remedy for one in listed if one.level != "fine")
    assert customer.bank.count(path_contains="mfa") == 0
    return {one.about: one for one in listed if one.level != "fine" and one.about != "kontist redirect address"}


@contextmanager
def with_token(folder: Path, scopes: str = ALL, confirmed: str = "yes", **more: Any) -> Iterator[tuple[Customer, Settings]]:
    with a_customer(folder) as customer:
        yield customer, settings_of(customer, refresh_token=customer.bank.kontist.oauth.pair(scopes, confirmed)[1], **more)


def test_a_login_that_reads_everything_is_fine(tmp_path: Path) -> None:
    with with_token(tmp_path) as (customer, settings):
        assert found(customer, settings) == {}
        connect(customer)
        assert found(customer, settings_of(customer)) == {}
        assert customer.states() == ["active"]


@pytest.mark.parametrize("names_scopes", [True, False])
@pytest.mark.parametrize("lacking", ["accounts", "transactions", "transfers", "offline"])
def test_a_missing_scope_is_named(tmp_path: Path, lacking: str, names_scopes: bool) -> None:
    with with_token(tmp_path) as (customer, settings):
        oauth = customer.bank.kontist.oauth
        oauth.names_scopes = names_scopes
        settings = replace(settings, kontist=replace(settings.kontist, refresh_token=oauth.pair(ALL.replace(lacking, ""))[1]))
        problems = found(customer, settings)
        if names_scopes or lacking in ("transactions", "transfers"):
            assert f"lacks the scope `{lacking}`" in problems["kontist scopes"].found
            assert "Add it to your application" in problems["kontist scopes"].remedy
        elif lacking == "accounts":
            assert "is not confirmed, or lacks the permission" in problems["kontist confirmation"].found, "nobody can tell"
        else:
            assert problems == {}, "a token that came with a refresh token shows no trace of `offline`"


def test_an_unconfirmed_token_is_named_and_no_phone_is_asked(tmp_path: Path) -> None:
    with with_token(tmp_path, confirmed="no") as (customer, settings):
        problems = found(customer, settings)
        assert list(problems) == ["kontist confirmation"]
        assert "connect kontist" in problems["kontist confirmation"].remedy
        customer.bank.kontist.wants_confirmation = True
        by_rest = customer.settings(refresh_token=customer.bank.kontist.tokens.give("refresh", "ada"))
        assert list(found(customer, by_rest)) == ["kontist confirmation"]


@pytest.mark.parametrize(("ours", "theirs"), [("rest", "graphql"), ("graphql", "rest")])
@pytest.mark.parametrize("page", [False, True])
def test_a_service_that_answers_in_the_other_dialect_is_named(tmp_path: Path, ours: str, theirs: str, page: bool) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.speaks = {theirs}
        if page:  # a server may answer what it does not know with a page for people
            customer.bank.faults.append(
                HtmlInsteadOfJson(times=None, path_contains="/oauth/" if ours == "graphql" else "/accounts")
            )
        settings = settings_of(customer, refresh_token=customer.bank.kontist.oauth.pair()[1])
        (problem,) = found(customer, settings if ours == "graphql" else customer.with_password()).values()
        assert problem.about == "kontist dialect"
        assert f'sources.kontist.dialect to "{theirs}"' in problem.remedy


def test_a_refused_login_is_no_wrong_dialect_where_the_service_answers_in_both(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        wrong = replace(customer.with_password().kontist, password="wrong")
        assert list(found(customer, replace(customer.settings(), kontist=wrong))) == ["kontist"]


def test_a_login_of_the_other_dialect_is_named(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.connect()
        (problem,) = found(customer, settings_of(customer)).values()
        assert "the stored login is of the dialect rest, and graphql is set" in problem.found
        assert customer.bank.count("POST", "/oauth/") == 0


@pytest.mark.parametrize("missing", [("client_id",), ("client_secret",), ("client_id", "client_secret")])
def test_a_missing_part_of_the_application_is_named(tmp_path: Path, missing: tuple[str, ...]) -> None:
    with with_token(tmp_path, **dict.fromkeys(missing)) as (customer, settings):
        (problem,) = found(customer, settings).values()
        names = " and ".join(f"sources.kontist.{name}" for name in missing)
        assert problem.found.startswith(f"{names} {'is' if len(missing) == 1 else 'are'} not set")
        assert customer.bank.requests == []


def test_an_application_without_a_login_says_how_to_get_one(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        (problem,) = found(customer, settings_of(customer)).values()
        assert (problem.level, problem.found) == ("note", "no login: left out of runs")
        assert "sources.kontist.refresh_token" in problem.remedy


def test_a_configured_token_is_not_renewed_where_its_successor_could_not_be_stored(tmp_path: Path) -> None:
    with with_token(tmp_path) as (customer, settings):
        customer.bank.kontist.oauth.rotates = True
        (problem,) = found(customer, replace(settings, vault_key=None)).values()
        assert "without a vault key the new one would be lost" in problem.found
        assert customer.bank.requests == []
        for _ in range(2):
            assert found(customer, settings) == {}, "with a key its successor is stored"
        assert good(customer.read(settings))


@pytest.mark.parametrize(
    ("address", "level", "says"),
    [
        ("https://ledger.example.test/kontist", "note", "does not listen there"),
        ("https://127.0.0.1:8765/callback", "note", "does not listen there"),
        ("http://ledger.example.test/kontist", "wrong", "would travel unencrypted"),
        ("http://[::1/callback", "wrong", "is no address"),
        ("http://127.0.0.1:99999/", "wrong", "is no address"),
        ("ledger.example.test", "wrong", "is no http or https address"),
        ("https://user@ledger.example.test/", "wrong", "holds more than an address"),
    ],
)
def test_a_redirect_address_is_looked_at(tmp_path: Path, address: str, level: str, says: str) -> None:
    with a_customer(tmp_path) as customer:
        listed = {one.about: one for one in look(settings_of(customer, redirect_uri=address), customer.world.clock.now)}
        problem = listed["kontist redirect address"]
        assert (problem.level, says in problem.found) == (level, True)


def test_a_redirect_address_whose_port_is_taken_is_named(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        with create_server(("127.0.0.1", 0)) as taken:
            settings = settings_of(customer, redirect_uri=f"http://127.0.0.1:{taken.getsockname()[1]}/callback")
            problem = next(look(settings, customer.world.clock.now))
        assert (problem.level, "another program uses the port" in problem.found) == ("note", True)
        assert next(look(settings, customer.world.clock.now)).level == "fine"
