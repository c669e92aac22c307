"""A 403 of Kontist has two causes, a missing scope and an unconfirmed token: which of them it is, and what the messages say."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.consents import kontist_login
from pipelines.consents.clients import BankSaidNo
from pipelines.consents.kontist_oauth import Person, sign_in
from sources.kontist.auth import Login
from sources.kontist.scopes import PURPOSE, ScopeMissing, forbidden, granted, is_confirmed, missing
from sources.sandbox import ServerError
from sources.sandbox.banks.wire import problem
from tests.kontist_login.by_link import by_pasting, connect, settings_of, visited
from tests.kontist_login.logins import Customer, a_customer, good

ALL = "accounts transactions transfers offline"


def token_with(customer: Customer, scopes: str, confirmed: str = "yes") -> Login:
    """A refresh token from elsewhere."""
    settings = settings_of(customer)
    return Login(
        refresh_token=customer.bank.kontist.oauth.pair(scopes, confirmed)[1], application=kontist_login.application_of(settings)
    )


@pytest.mark.parametrize("lacking", ["accounts", "transactions", "offline"])
def test_a_scope_that_the_bank_does_not_grant_is_named_and_nothing_is_stored(tmp_path: Path, lacking: str) -> None:
    with a_customer(tmp_path) as customer:
        oauth = customer.bank.kontist.oauth
        oauth.grants, oauth.skips_mfa = ALL.replace(lacking, "").strip(), True
        with pytest.raises(BankSaidNo, match=f"lacks the scope `{lacking}`"):
            by_pasting(customer)
        assert customer.bank.count(path_contains="mfa") == 0, "no phone can help"
        with customer.vault() as vault:
            assert vault.consents() == []


@pytest.mark.parametrize("lacking", ["accounts", "transactions"])
def test_a_token_without_a_scope_replaces_no_good_login_and_asks_no_phone(tmp_path: Path, lacking: str) -> None:
    with a_customer(tmp_path) as customer:
        good_one = connect(customer)
        with pytest.raises(kontist_login.NotLoggedIn, match=f"lacks the scope `{lacking}`"):
            connect(customer, token_with(customer, ALL.replace(lacking, "")))
        assert customer.bank.count(path_contains="mfa") == 0
        assert customer.states() == ["active", "expired"]
        assert customer.read(settings_of(customer)).outcomes[0].consent_id == good_one.consent_id


@pytest.mark.parametrize("names_scopes", [True, False])
def test_without_the_scope_of_orders_all_else_is_read_and_the_scope_is_named(tmp_path: Path, names_scopes: bool) -> None:
    with a_customer(tmp_path) as customer:
        oauth = customer.bank.kontist.oauth
        oauth.grants, oauth.names_scopes = "accounts transactions offline", names_scopes
        with customer.vault() as vault:
            now = customer.world.clock.now
            _, sentences = kontist_login.connect(settings_of(customer), vault, by_pasting(customer), now)
        assert [("`transfers`" in one, "lists of orders" in one) for one in sentences] == [(True, True)]
        report = customer.read(settings_of(customer))
        assert sum(one.counts.new for one in report.outcomes) > 0
        assert "lacks the scope `transfers`" in str(report.outcomes[0].reason)
        assert customer.states() == ["active"]


def test_a_bank_that_names_no_scopes_is_asked_for_a_page_and_the_orders(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.oauth.names_scopes = False
        assert good_login(customer, token_with(customer, ALL))
        with pytest.raises(kontist_login.NotLoggedIn, match="lacks the scope `transactions`"):
            connect(customer, token_with(customer, "accounts transfers offline"))
        assert customer.bank.count(path_contains="mfa") == 0


def test_a_login_that_is_refused_even_after_the_phone_lacks_a_scope(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.oauth.names_scopes = False
        with pytest.raises(kontist_login.NotLoggedIn, match="lacks the scope `accounts`"):
            connect(customer, token_with(customer, "transactions transfers offline", "no"))
        assert customer.bank.count("POST", "/mfa/challenges") == 2, "a challenge, and its token"


def test_an_unconfirmed_login_of_a_bank_that_names_no_scopes_is_confirmed(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.oauth.names_scopes = False
        assert good_login(customer, token_with(customer, ALL, "no"))
        assert good(customer.read(settings_of(customer)))


def test_a_rest_login_that_stays_refused_after_the_phone_says_so(tmp_path: Path) -> None:
    class Refuses(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(403, "Forbidden") if call.path.endswith("/accounts") else None

    with a_customer(tmp_path) as customer:
        customer.bank.faults.append(Refuses())
        with pytest.raises(kontist_login.NotLoggedIn, match="though the login is confirmed on the phone"):
            connect(customer, customer.login)


def test_a_run_with_an_unconfirmed_login_asks_for_the_phone_and_not_for_a_scope(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        settings = settings_of(customer, refresh_token=token_with(customer, ALL, "no").refresh_token)
        (outcome,) = customer.read(settings).outcomes
        assert "it has the scopes, but it is not confirmed on the phone" in str(outcome.reason)


def test_the_page_that_refuses_a_scope_names_them_all(tmp_path: Path) -> None:
    def refused(address: str) -> str:
        return address.split("code=")[0] + "error=%7B%22type%22%3A%22InvalidScopeError%22%7D&state=" + address.split("state=")[1]

    with a_customer(tmp_path) as customer, pytest.raises(BankSaidNo, match="`accounts`, `transactions`, `transfers`, `offline`"):
        by_pasting(customer, refused)


# ---- what a bank says of scopes


def test_scopes_are_those_of_the_answer_then_those_of_the_token() -> None:
    from tests.reading_kontist.fake_bank import jwt

    assert granted({"scope": "accounts offline"}, jwt(scopes="accounts users")) == {"accounts", "offline"}
    assert granted({}, jwt(scope="auth", scopes="accounts users")) == {"accounts", "users"}
    assert granted({}, jwt(scope=["accounts"])) == {"accounts"}
    assert granted({}, jwt(scope="refresh accounts offline")) == {"accounts", "offline"}, "the vendor document's own sample"
    assert granted({"scope": "offline"}, None) == {"offline"}
    for odd in ("", "accounts:read", ["accounts", 1], 7, None, "accounts something"):
        assert granted({"scope": odd}, None) is None, "a list in another notation says nothing"


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(ALL.split()),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["scope", "x"]), inner),
)


@settings(max_examples=60)
@given(reply=_JSON, token=st.none() | st.text())
def test_whatever_a_bank_says_of_scopes_nothing_breaks(reply: Any, token: str | None) -> None:
    has = granted(reply, token)
    assert has is None or has <= {*PURPOSE, "clients", "statements", "subscriptions", "users"}


def test_a_token_says_that_it_is_confirmed_as_in_the_document() -> None:
    from tests.reading_kontist.fake_bank import jwt

    assert is_confirmed(jwt(scope="auth", cnf={"kid": "2a164ec6"}))
    assert not any(map(is_confirmed, (jwt(scope="auth"), jwt(cnf="yes"), "opaque", "")))


@given(
    has=st.none() | st.sets(st.sampled_from(ALL.split())).map(frozenset), needs=st.sampled_from(ALL.split()), read=st.booleans()
)
def test_a_scope_is_named_exactly_where_it_is_known_or_follows_from_what_was_read(
    has: frozenset[str] | None, needs: str, read: bool
) -> None:
    error = forbidden(has, [needs], confirmed=read)
    assert error.code == "403"
    assert isinstance(error, ScopeMissing) == (read if has is None else needs not in has)
    assert not isinstance(error, ScopeMissing) or error.scopes == (needs,)
    assert ("is not confirmed on the phone" in error.cause) == (has is not None and needs in has and not read)
    assert has is None or set(missing(has)) == set(ALL.split()) - has


def good_login(customer: Customer, login: Login) -> bool:
    return connect(customer, login).status == "active"


def test_without_orders_no_scope_is_asked_for_that_would_allow_to_write(tmp_path: Path) -> None:
    orders = "select count(*) from kontist.standing_orders where _dlt_valid_to is null"
    with a_customer(tmp_path) as customer:
        connect(customer)
        assert good(customer.read(settings_of(customer)))
        assert customer.rows(orders) != [(0,)]
        customer.bank.kontist.oauth.names_scopes = False
        own = settings_of(customer, read_orders=False)
        shown: list[str] = []
        login = sign_in(own, Person(shown.append, lambda: visited(shown[0])))
        assert "scope=accounts%20transactions%20offline&" in shown[0]
        with customer.vault() as vault:
            _, sentences = kontist_login.connect(own, vault, login, customer.world.clock.now)
        assert sentences == []
        assert good(customer.read(own)), "nobody misses the orders"
        assert customer.rows(orders) == [(0,)], "those that were known are no longer current"
