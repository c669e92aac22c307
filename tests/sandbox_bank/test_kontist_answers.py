"""Kontist as the vendor document describes it."""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from sources.sandbox import World

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
FIELDS = {
    "id", "amount", "type", "category", "name", "iban", "purpose", "e2eId", "bookingDate", "valutaDate", "bookingType",
    "originalAmount", "foreignCurrency", "paymentMethod", "invoiceNumber", "invoicePreviewUrl", "invoiceDownloadUrl",
    "userSelectedBookingDate", "documentType", "mandateNumber",
}  # fmt: skip


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def credentials(world: World) -> dict[str, str]:
    return {"email": world.kontist_email, "password": world.kontist_password}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(visitor: Any, kind: str = "auth-token") -> str:
    reply = visitor.http.post(f"/api/user/{kind}", json=credentials(visitor.world))
    return str(reply.json()["token"])


def status(visitor: Any, token: str) -> int:
    return int(visitor.http.get("/api/accounts", headers=bearer(token)).status_code)


# ---- data


@pytest.mark.parametrize("path", ["", "/"])
def test_accounts_are_a_bare_list_with_balances_in_cents(visit: Visit, path: str) -> None:
    visitor = visit(World(today=TODAY))

    assert visitor.kontist(path).json() == [
        {"id": int(own.number), "iban": own.iban, "balance": int(own.balance * 100), "accountType": "solaris"}
        for own in visitor.world.accounts
        if own.bank == "kontist"
    ]


def test_following_next_gives_every_row_once_and_the_totals_of_the_world(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))

    for number in (4711, 4712):
        rows = visitor.pages(number)
        booked = [row["amount"] for row in rows if row["valutaDate"]]
        pending = [row["amount"] for row in rows if not row["valutaDate"]]
        own = visitor.world.account(str(number))
        assert len({row["id"] for row in rows}) == len(rows)
        assert own.totals() == (
            len(booked), Decimal(sum(booked)).scaleb(-2), len(pending), Decimal(sum(pending)).scaleb(-2)
        )  # fmt: skip


def test_a_page_has_next_total_and_results_newest_first(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), page_size=20)
    whole = visitor.world.account("4711").totals()

    first = visitor.kontist("/4711/transactions").json()
    pages = -(-(whole.booked_count + whole.pending_count) // 20)
    last = visitor.kontist(f"/4711/transactions?page={pages}").json()

    assert first["next"] == "/api/accounts/4711/transactions?page=2"
    assert first["total"] == whole.booked_count + whole.pending_count
    assert len(first["results"]) == 20
    assert last["next"] is None
    assert visitor.kontist(f"/4711/transactions?page={pages + 1}").json()["results"] == []
    order = [(row["bookingDate"], row["id"]) for row in visitor.pages()]
    assert all(newer > older for newer, older in pairwise(order))


@pytest.mark.parametrize("page", ["0", "-1", "x", ""])
def test_a_page_that_is_no_number_is_refused(visit: Visit, page: str) -> None:
    reply = visit(World(today=TODAY)).kontist(f"/4711/transactions?page={page}")

    assert reply.status_code == 400


def test_rows_have_exactly_the_documented_fields(visit: Visit) -> None:
    assert all(set(row) == FIELDS for row in visit(World(today=TODAY)).pages())


def test_booked_rows_are_berlin_midnights_in_utc(visit: Visit) -> None:
    rows = [row for row in visit(World(today=TODAY)).pages() if row["valutaDate"]]

    for row in rows:
        assert row["bookingDate"] == row["valutaDate"]
        assert row["bookingDate"].endswith("+00:00")
        local = datetime.fromisoformat(row["bookingDate"]).astimezone(ZoneInfo("Europe/Berlin"))
        assert (local.hour, local.minute) == (0, 0)
    assert {row["bookingDate"][11:16] for row in rows} == {"22:00", "23:00"}


def test_pending_rows_have_a_true_time_and_neither_value_date_nor_type(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    pending = [row for row in visitor.pages() if row["valutaDate"] is None]

    assert pending
    for row in pending:
        at = datetime.fromisoformat(row["bookingDate"])
        assert row["bookingType"] is None
        assert at.astimezone(ZoneInfo("Europe/Berlin")).date() in (TODAY, TODAY - timedelta(days=1))
        assert at.minute or at.hour not in (22, 23)


def test_a_card_payment_abroad_has_its_minor_units_as_text(visit: Visit) -> None:
    rows = [row for row in visit(World(today=TODAY)).pages() if row["foreignCurrency"]]

    assert {row["foreignCurrency"] for row in rows} == {"CHF", "USD"}
    for row in rows:
        assert row["originalAmount"].isdecimal()
        assert 0.85 < abs(row["amount"]) / int(row["originalAmount"]) < 1.1
        assert row["paymentMethod"] == "credit_card"


def test_a_single_transaction_has_no_sign(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    listed = next(row for row in visitor.pages() if row["amount"] < 0 and row["valutaDate"])

    single = visitor.kontist(f"/4711/transactions/{listed['id']}").json()

    assert single == listed | {"amount": -listed["amount"]}
    assert visitor.kontist("/4711/transactions/1").status_code == 404
    assert visitor.kontist(f"/4712/transactions/{listed['id']}").status_code == 404


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kontist.transactionlist.v2+json", "*/*"])
def test_without_the_exact_media_type_there_is_a_bare_list(visit: Visit, accept: str) -> None:
    visitor = visit(World(today=TODAY))

    bare = visitor.kontist("/4711/transactions", accept=accept).json()

    assert bare == visitor.pages()
    assert visitor.kontist("/4711/transactions?page=2", accept=accept).json() == bare[50:100]


def test_standing_orders_are_positive_and_keep_the_cancelled_one(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))

    orders = visitor.kontist("/4711/standing-orders").json()

    assert [order["status"] for order in orders] == ["CANCELED", "ACTIVE", "ACTIVE"]
    assert all(order["amount"] > 0 for order in orders)
    assert all(set(order) == {"id", "status", "iban", "name", "description", "amount", "lastExecutionDate", "e2eId",
                              "reoccurrence", "nextOccurrence"} for order in orders)  # fmt: skip
    assert orders[1]["nextOccurrence"] == "2025-04-01T00:00:00.000+00:00"
    assert visitor.kontist("/4712/standing-orders").json() == []


def test_timed_orders_are_negative_and_become_payments_of_the_same_amount(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    orders = visitor.kontist("/4711/timed-orders").json()

    assert all(set(order) == {"id", "recipientName", "recipientIban", "date", "purpose", "amount", "e2eId", "status",
                              "type"} for order in orders)  # fmt: skip
    assert [order["date"] for order in orders] == ["2025-04-18T12:00:00.000Z", "2025-05-18T12:00:00.000Z"]
    visitor.world.live(29)
    paid = [row for row in visitor.pages() if row["purpose"] == orders[0]["purpose"]]
    assert [row["amount"] for row in paid] == [orders[0]["amount"]]
    assert visitor.kontist("/4711/timed-orders").json()[0] == orders[1]


def test_what_is_not_there_is_not_found(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    login = (visitor.world.kontist_email, visitor.world.kontist_password)

    assert visitor.http.post("/api/accounts/4711/transactions", json={}, auth=login).status_code == 404
    assert visitor.http.delete("/api/accounts/4711/standing-orders/6", auth=login).status_code == 404
    for path in ("/1/transactions", "/4711", "/4711/nothing", "/4711/transactions/1/more"):
        reply = visitor.kontist(path)
        assert (reply.status_code, reply.json()["status"]) == (404, 404)
        assert set(reply.json()) == {"type", "title", "status"}


def test_a_change_in_the_world_is_seen_on_the_next_page(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    visitor.pages()

    row = visitor.world.append("4711", amount="-7.00", description='odd "quotes" & <tags>')

    found = next(own for own in visitor.pages() if own["id"] == row.id)
    assert (found["amount"], found["purpose"]) == (-700, 'odd "quotes" & <tags>')


# ---- who asks


def test_nobody_gets_in_without_a_valid_login(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))

    assert visitor.http.get("/api/accounts").status_code == 401
    assert visitor.kontist("", auth=("ada@example.test", "wrong")).status_code == 401
    assert visitor.http.get("/api/accounts", headers={"Authorization": "Basic ?"}).status_code == 401
    for wrong in ("a.b.c", "x", "."):
        assert visitor.http.get("/api/accounts", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401


def test_tokens_are_given_for_email_and_password_only(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    wrong = credentials(visitor.world) | {"password": "wrong"}

    for path in ("/api/user/auth-token", "/api/user/refresh-token"):
        assert visitor.http.post(path, json=wrong).status_code == 401
        assert visitor.http.post(path, json={"email": "x"}).status_code == 400
        assert visitor.http.post(path, content=b"not json").status_code == 400


def test_an_auth_token_lives_one_hour_of_the_sandbox_clock(visit: Visit) -> None:
    visitor = visit(World())
    own = token(visitor)

    assert claims(own)["exp"] - claims(own)["iat"] == 3600
    assert claims(own)["scope"] == "auth"
    assert status(visitor, own) == 200
    visitor.world.clock.advance(timedelta(hours=1, seconds=1))
    assert status(visitor, own) == 401


def test_a_refresh_token_lives_thirty_days_and_buys_auth_tokens_only(visit: Visit) -> None:
    visitor = visit(World())
    refresh = token(visitor, "refresh-token")

    def renew(with_token: str) -> httpx.Response:
        reply: httpx.Response = visitor.http.post("/api/user/auth-token", headers=bearer(with_token))
        return reply

    assert claims(refresh)["exp"] - claims(refresh)["iat"] == 30 * 24 * 3600
    assert claims(refresh)["scope"] == "refresh"
    assert status(visitor, refresh) == 401
    assert status(visitor, renew(refresh).json()["token"]) == 200
    assert renew(token(visitor)).status_code == 401
    visitor.world.clock.advance(timedelta(days=30, seconds=1))
    assert renew(refresh).status_code == 401


def test_a_token_outlives_the_process_that_gave_it(visit: Visit) -> None:
    refresh = token(visit(World(seed=11)), "refresh-token")

    same, other = visit(World(seed=11)), visit(World(seed=12))

    assert same.http.post("/api/user/auth-token", headers=bearer(refresh)).status_code == 200
    assert other.http.post("/api/user/auth-token", headers=bearer(refresh)).status_code == 401


def test_deleting_tokens_ends_them(visit: Visit) -> None:
    visitor = visit(World())
    one, two, refresh = token(visitor), token(visitor), token(visitor, "refresh-token")

    assert visitor.http.delete("/api/user/auth-token", headers=bearer(one)).status_code == 204
    assert (status(visitor, one), status(visitor, two)) == (401, 200)
    assert visitor.http.delete("/api/user/refresh-token", headers=bearer(refresh)).status_code == 401
    assert visitor.http.delete("/api/user/refresh-token", headers=bearer(two)).status_code == 204
    assert visitor.http.post("/api/user/auth-token", headers=bearer(refresh)).status_code == 401
    later = token(visitor, "refresh-token")
    assert visitor.http.post("/api/user/auth-token", headers=bearer(later)).status_code == 200
