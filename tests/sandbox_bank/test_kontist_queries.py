"""Kontist's live service: queries by a schema, OAuth2 and the confirmation on the phone."""

from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sources.sandbox import World

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
SCOPES = "accounts transactions transfers offline"
REDIRECT = "http://127.0.0.1:9/callback"
ROWS = "{ edges { node { id amount bookingDate valutaDate } } pageInfo { hasNextPage endCursor } }"


def authorized(visitor: Any, **asked: str) -> dict[str, str]:
    """What comes back at the redirect address."""
    query = {"client_id": visitor.world.kontist_client_id, "redirect_uri": REDIRECT, "response_type": "code"}
    reply = visitor.http.get("/api/oauth/authorize", params=query | {"scope": SCOPES, "state": "s-1"} | asked)
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))


def exchanged(visitor: Any, **sent: str) -> httpx.Response:
    world = visitor.world
    secret = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
    reply: httpx.Response = visitor.http.post("/api/oauth/token", data=secret | sent)
    return reply


def by_code(visitor: Any, **asked: str) -> dict[str, Any]:
    code = authorized(visitor, **asked)["code"]
    tokens: dict[str, Any] = exchanged(visitor, grant_type="authorization_code", code=code, redirect_uri=REDIRECT).json()
    return tokens


def ask(visitor: Any, query: str, token: str | None = None, **variables: Any) -> httpx.Response:
    token = token or visitor.bank.kontist.oauth.pair()[0]
    body = {"query": query, "variables": variables}
    reply: httpx.Response = visitor.http.post("/api/graphql", json=body, headers={"Authorization": f"Bearer {token}"})
    return reply


def test_every_row_of_an_account_comes_once_newest_first_by_cursor(visit: Visit) -> None:
    world = World(today=TODAY, transactions=130)
    visitor, own = visit(world), world.account("4711")
    query = (
        "query ($after: String) { viewer { mainAccount { id balance transactions(first: 50, after: $after) ROWS } } }".replace(
            "ROWS", ROWS
        )
    )
    nodes, after, pages = [], None, 0
    while after or not pages:
        account = ask(visitor, query, after=after).json()["data"]["viewer"]["mainAccount"]
        nodes += [edge["node"] for edge in account["transactions"]["edges"]]
        info, pages = account["transactions"]["pageInfo"], pages + 1
        after = info["endCursor"] if info["hasNextPage"] else None
    assert (account["id"], account["balance"]) == (4711, own.balance_cents)
    assert [node["amount"] for node in nodes] == [row.cents for row in own.newest_first()]
    assert len({node["id"] for node in nodes}) == len(nodes) > 100
    assert pages == 3


def test_a_filter_by_booking_date_is_a_since_on_the_server(visit: Visit) -> None:
    world = World(today=TODAY, transactions=200)
    query = "query ($f: TransactionFilter) { viewer { mainAccount { transactions(filter: $f) ROWS } } }".replace("ROWS", ROWS)
    answer = ask(visit(world), query, f={"bookingDate_gte": "2025-02-28T23:00:00.000Z"}).json()
    found = answer["data"]["viewer"]["mainAccount"]["transactions"]["edges"]
    assert len(found) == sum(row.booked_on >= date(2025, 3, 1) for row in world.account("4711").transactions)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("{ viewer { mainAccount { iban colour } } }", "Cannot query field 'colour' on type 'Account'."),
        ("{ viewer { mainAccount { transactions(first: 51) { edges { cursor } } } } }", "first must be between 0 and 50"),
        ("{ viewer {", "Syntax Error"),
        (f"{{ viewer {{ {'id ' * 5000} }} }}", "too long"),
    ],
)
def test_a_wrong_query_fails_as_a_whole(visit: Visit, query: str, says: str) -> None:
    reply = ask(visit(World(today=TODAY, transactions=10)), query)
    assert (reply.status_code, reply.json().get("data")) == (500, None)
    assert says in reply.json()["errors"][0]["message"]


def test_a_code_is_good_once_and_only_with_its_state_address_and_secret(visit: Visit) -> None:
    visitor = visit(World(today=TODAY, transactions=10))
    back = authorized(visitor, state="abc")
    assert back["state"] == "abc"
    grant = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    assert exchanged(visitor, **grant | {"client_secret": "wrong"}).status_code == 401
    tokens = exchanged(visitor, **grant).json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3599, SCOPES)
    assert exchanged(visitor, **grant).status_code == 400
    assert ask(visitor, "{ viewer { id } }", tokens["access_token"]).json()["data"]["viewer"]["id"] == "ada"
    renewed = exchanged(visitor, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    assert "refresh_token" not in renewed
    assert ask(visitor, "{ viewer { id } }", renewed["access_token"]).status_code == 200


def test_an_unconfirmed_token_reads_nothing_until_the_phone_has_confirmed_it(visit: Visit) -> None:
    visitor = visit(World(today=TODAY, transactions=10))
    token = by_code(visitor, skip_mfa="true")["access_token"]
    assert ask(visitor, "{ viewer { id } }", token).json()["errors"][0]["extensions"]["status"] == 403
    bearer, path = {"Authorization": f"Bearer {token}"}, "/api/user/mfa/challenges"
    challenge = visitor.http.post(path, headers=bearer).json()
    assert challenge["status"] == "PENDING"
    assert visitor.http.post(f"{path}/{challenge['id']}/token", headers=bearer).status_code == 403
    assert visitor.http.get(f"{path}/{challenge['id']}", headers=bearer).json()["status"] == "VERIFIED"
    pair = visitor.http.post(f"{path}/{challenge['id']}/token", headers=bearer).json()
    assert ask(visitor, "{ viewer { id } }", pair["token"]).json()["data"]["viewer"]["id"] == "ada"


def test_no_other_token_is_good_for_a_query(visit: Visit) -> None:
    visitor = visit(World(today=TODAY, transactions=10))
    login = {"email": visitor.world.kontist_email, "password": visitor.world.kontist_password}
    of_rest = visitor.http.post("/api/user/auth-token", json=login).json()["token"]
    for token in ("nonsense", of_rest):
        reply = ask(visitor, "{ viewer { id } }", token)
        assert (reply.status_code, reply.json()["errors"][0]["message"]) == (200, "Unauthorized")


def test_orders_need_their_scope_and_are_positive(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    query = "{ viewer { mainAccount { transfers(type: TIMED_ORDER) { edges { node { amount status executeAt } } } } } }"
    orders = ask(visitor, query).json()["data"]["viewer"]["mainAccount"]["transfers"]["edges"]
    assert orders
    assert all(order["node"]["amount"] > 0 and order["node"]["status"] == "SCHEDULED" for order in orders)
    token = by_code(visitor, scope="accounts transactions offline")["access_token"]
    assert ask(visitor, query, token).json()["errors"][0]["extensions"]["status"] == 403


def test_a_customer_may_refuse(visit: Visit) -> None:
    visitor = visit(World(today=TODAY, transactions=10))
    visitor.bank.kontist.oauth.denies = True
    assert authorized(visitor) == {"state": "s-1", "error": '{"type":"AccessDeniedError"}'}
