"""Logging in: which token is asked for when, and what is said when it fails."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unavailable, Unexpected
from sources.kontist.accounts import Account
from sources.kontist.auth import Login
from sources.kontist.transactions import read_transactions
from tests.reading_kontist.fake_bank import ACCOUNT, FakeBank, Memory, MemorySpool, jwt, row

PASSWORD = Login("ada@example.test", "right")


def test_a_login_shows_no_secret() -> None:
    assert repr(Login("ada@example.test", "right", "refresh-0")) == "Login(auth='jwt')"


def test_a_refresh_token_spares_the_password() -> None:
    bank = FakeBank()
    bank.client(Login("ada@example.test", "right", "refresh-0")).accounts()

    assert bank.tokens_asked == ["POST auth-token"]


def test_e_mail_and_password_first_give_a_refresh_token() -> None:
    bank = FakeBank()
    bank.client(PASSWORD).accounts()

    assert bank.tokens_asked == ["POST refresh-token", "POST auth-token"]
    assert bank.kept == ["refresh-1"]


def test_an_expired_refresh_token_is_replaced_with_the_password() -> None:
    bank = FakeBank()
    bank.client(Login("ada@example.test", "right", "too-old")).accounts()

    assert bank.tokens_asked == ["POST auth-token", "POST refresh-token", "POST auth-token"]


def test_an_expired_refresh_token_without_a_password_needs_a_person() -> None:
    with pytest.raises(ConsentGone, match="MFA"):
        FakeBank().client(Login(refresh_token="too-old")).accounts()


def test_a_login_that_is_over_is_not_asked_about_again() -> None:
    bank = FakeBank()
    client = bank.client(Login(refresh_token="too-old"))
    for _ in range(2):
        with pytest.raises(ConsentGone, match="MFA"):
            client.accounts()
    assert len(bank.asked) == 1


def test_an_auth_token_is_used_until_a_minute_before_its_end() -> None:
    bank = FakeBank()
    client = bank.client()
    for after in (0, 3539, 3540, 3541):
        bank.now = 1_800_000_000.0 + after
        client.accounts()

    assert len(bank.tokens_asked) == 2
    assert [len(bank.auth_tokens)] == [2]


@pytest.mark.parametrize("token", ["opaque", "a.b.c", jwt(exp="soon"), jwt(sub=1), "x.bnVsbA.y"])
def test_a_token_that_does_not_say_when_it_ends_lives_an_hour(token: str) -> None:
    bank = FakeBank(instead=lambda one: httpx.Response(200, json={"token": token}) if "auth-token" in one.url.path else None)
    bank.auth_tokens[token] = 2e9
    client = bank.client()
    for after in (0, 3539, 3541):
        bank.now = 1_800_000_000.0 + after
        client.accounts()

    assert len(bank.tokens_asked) == 2


def test_a_clock_that_is_ahead_costs_no_renewal_before_each_request() -> None:
    bank = FakeBank()
    client = bank.client()
    client.tokens._clock = lambda: bank.now + 7200
    for _ in range(3):
        client.accounts()
    assert bank.tokens_asked == ["POST auth-token"]
    bank.now += 3600  # the bank says so
    client.accounts()
    assert len(bank.tokens_asked) == 2


def test_a_token_that_ends_while_we_read_is_renewed_and_the_page_asked_again() -> None:
    bank = FakeBank([row(number) for number in range(7)])
    bank.instead = lambda _: bank.auth_tokens.clear() if bank.pages_asked in (2, 5) else None
    spool = MemorySpool()
    account = Account(ACCOUNT.account_id, "4711", {"balance_cents": bank.balance})
    read_transactions(bank.client(), account, depth="full", since=None, known=Memory(), spool=spool)

    assert spool.ids == [0, 1, 2, 3, 4, 5, 6]
    assert spool.cleared == 0


def test_a_second_401_asks_the_customer() -> None:
    bank = FakeBank(instead=lambda one: httpx.Response(401) if "accounts" in one.url.path else None)

    with pytest.raises(ConsentGone, match="Log in again"):
        bank.client().accounts()
    assert len(bank.tokens_asked) == 2
    assert bank.slept == []


def test_a_new_refresh_token_is_kept_before_it_is_used() -> None:
    bank = FakeBank(rotates=True)
    client = bank.client()
    client.accounts()
    assert bank.kept == ["refresh-1"]

    bank.now += 3600
    client.accounts()
    assert bank.kept == ["refresh-1", "refresh-2"]


def test_a_refresh_token_that_cannot_be_kept_is_not_used() -> None:
    bank = FakeBank()

    def fails(_: str) -> None:
        raise OSError("disk full")

    client = bank.client(PASSWORD)
    client.tokens._keep = fails
    with pytest.raises(OSError, match="disk full"):
        client.accounts()
    assert bank.tokens_asked == ["POST refresh-token"]

    client.tokens._keep = bank.kept.append
    client.accounts()
    assert bank.tokens_asked[1:] == ["POST refresh-token", "POST auth-token"]


def test_threads_share_one_renewal() -> None:
    bank = FakeBank()
    client = bank.client()
    together = Barrier(8)
    alone: list[bool] = []
    bank.instead = lambda one: alone.append(client.tokens._lock.locked()) if "token" in one.url.path else None

    def ask(_: int) -> None:
        together.wait()
        client.accounts()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
        assert len(bank.tokens_asked) == 1
        bank.auth_tokens.clear()
        list(pool.map(ask, range(8)))
    assert len(bank.tokens_asked) == 2
    assert alone == [True, True]


@pytest.mark.parametrize("login", [Login("ada@example.test", "wrong"), Login("ada@example.test", "wrong", auth="basic")])
def test_a_wrong_password_names_the_settings(login: Login) -> None:
    bank = FakeBank()
    if login.auth == "basic":
        bank.instead = lambda _: httpx.Response(401)

    with pytest.raises(Misconfigured) as caught:
        bank.client(login).accounts()
    assert "sources.kontist.email" in str(caught.value)
    assert ".password" in str(caught.value)
    assert "ada@" not in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("login", [Login(), Login("ada@example.test"), Login(refresh_token="refresh-0", auth="basic")])
def test_nothing_to_log_in_with_names_the_settings(login: Login) -> None:
    bank = FakeBank()

    with pytest.raises(Misconfigured, match="nothing to log in with"):
        bank.client(login).accounts()
    assert bank.asked == []


def test_basic_sends_e_mail_and_password_with_every_request() -> None:
    bank = FakeBank()
    bank.client(Login("ada@example.test", "ri:ght", auth="basic")).accounts()

    assert [one.headers["Authorization"] for one in bank.asked] == ["Basic YWRhQGV4YW1wbGUudGVzdDpyaTpnaHQ="]


def test_an_unconfirmed_token_is_told_apart() -> None:
    bank = FakeBank(instead=lambda one: httpx.Response(403) if "accounts" in one.url.path else None)

    with pytest.raises(Rejected, match="MFA") as caught:
        bank.client().accounts()
    assert not isinstance(caught.value, ConsentGone)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, json={}), Unexpected),
        (httpx.Response(200, json=["x"]), Unexpected),
        (httpx.Response(200, json={"token": 17}), Unexpected),
        (httpx.Response(200, json={"token": "two words"}), Unexpected),
        (httpx.Response(200, json={"token": "line\r\nend"}), Unexpected),
        (httpx.Response(200, json={"token": "nul\x00"}), Unexpected),
        (httpx.Response(200, html="<html>we will be back</html>"), Unexpected),
        (httpx.Response(200, content=b"{"), Unexpected),
        (httpx.Response(503), Unavailable),
        (httpx.Response(429), Unavailable),
    ],
)
@pytest.mark.parametrize("endpoint", ["auth-token", "refresh-token"])
def test_an_odd_answer_to_the_login_is_named(endpoint: str, answer: httpx.Response, error: type[SourceError]) -> None:
    bank = FakeBank(instead=lambda one: answer if one.url.path.endswith(endpoint) else None)

    with pytest.raises(error):
        bank.client(PASSWORD).accounts()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_bank_that_refuses_a_refresh_token_is_asked_for_an_auth_token_by_password(status: int) -> None:
    bank = FakeBank(instead=lambda one: httpx.Response(status) if one.url.path.endswith("refresh-token") else None)
    client = bank.client(PASSWORD)
    client.accounts()
    client.accounts()

    assert bank.tokens_asked == ["POST refresh-token", "POST auth-token"]
    assert bank.kept == []


@pytest.mark.parametrize(
    ("status", "error"), [(400, Misconfigured), (401, Misconfigured), (403, Rejected), (404, Misconfigured), (422, Misconfigured)]
)
def test_a_bank_that_refuses_both_tokens_is_asked_for_each_once(status: int, error: type[SourceError]) -> None:
    bank = FakeBank(instead=lambda one: httpx.Response(status) if "token" in one.url.path else None)

    client = bank.client(PASSWORD)
    for _ in range(2):  # a wrong password that is sent at each request would lock the login
        with pytest.raises(error):
            client.accounts()
    assert bank.tokens_asked == ["POST refresh-token", "POST auth-token"]


def test_both_tokens_are_ended_with_the_auth_token() -> None:
    bank = FakeBank()
    client = bank.client()
    client.accounts()
    client.invalidate()

    assert bank.tokens_asked == ["POST auth-token", "DELETE refresh-token", "DELETE auth-token"]
    assert {one.headers["Authorization"] for one in bank.asked[-2:]} == {"Bearer " + next(iter(bank.auth_tokens))}
    with pytest.raises(Misconfigured):
        client.accounts()


@pytest.mark.parametrize(
    ("login", "asked"),
    [
        (Login("ada@example.test", "right"), []),
        (Login("ada@example.test", "right", "too-old"), ["POST auth-token"]),
        (Login("ada@example.test", "right", auth="basic"), []),
        (Login(refresh_token="refresh-0"), ["POST auth-token", "DELETE refresh-token", "DELETE auth-token"]),
    ],
)
def test_ending_tokens_that_are_gone_is_no_error_and_uses_no_password(login: Login, asked: list[Any]) -> None:
    bank = FakeBank()
    bank.client(login).invalidate()

    assert bank.tokens_asked == asked
