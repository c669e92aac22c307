"""Kontist's payments as the vendor document describes them: two steps, a TAN, the exact payload again."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sources.sandbox import World

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
LUNCH = {"recipient": "Karl Brenner", "iban": "DE89370400440532013000", "amount": 1250, "note": "Lunch", "e2eId": None}


class Payer:
    """Somebody who pays over HTTP."""

    def __init__(self, visitor: Any) -> None:
        self.world, self._http = visitor.world, visitor.http

    def ask(self, method: str, path: str, body: Any = None, account: int = 4711) -> tuple[int, Any]:
        login = (self.world.kontist_email, self.world.kontist_password)
        reply = self._http.request(method, f"/api/accounts/{account}{path}", json=body, auth=login)
        return reply.status_code, reply.json()

    def link(self, body: Any = LUNCH) -> str:
        return str(self.ask("POST", "/transfer", body)[1]["links"]["self"]).removeprefix("/api/accounts/4711")

    @property
    def tan(self) -> str:
        return str(self.world.text_messages[-1].removeprefix("Your TAN is "))

    def balance(self) -> Any:
        return self.world.account("4711").balance


@pytest.fixture
def payer(visit: Visit) -> Payer:
    return Payer(visit(World(today=TODAY)))


def test_a_transfer_waits_for_its_tan_and_moves_money_once(payer: Payer) -> None:
    before = payer.balance()
    status, registered = payer.ask("POST", "/transfer", LUNCH)
    assert (status, registered["status"], registered["meta"]) == (200, "confirmation_required", {"authorizationTokenLength": 6})
    assert payer.balance() == before
    link = registered["links"]["self"].removeprefix("/api/accounts/4711")
    status, done = payer.ask("PUT", link, LUNCH | {"authorizationToken": payer.tan})
    assert (status, done["status"], done["amount"]) == (200, "accepted", 1250)
    assert payer.balance() - before == Decimal("-12.50")
    assert payer.ask("PUT", link, LUNCH | {"authorizationToken": payer.tan})[0] == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"authorizationToken": "000000"}, 403),
        ({"authorizationToken": None}, 403),
        ({"amount": 1251}, 400),
        ({"note": None}, 400),
    ],
)
def test_a_wrong_tan_or_another_payload_moves_nothing(payer: Payer, change: dict[str, Any], status: int) -> None:
    before, link = payer.balance(), payer.link()
    assert payer.ask("PUT", link, LUNCH | {"authorizationToken": payer.tan} | change)[0] == status
    assert payer.balance() == before
    assert payer.ask("PUT", link, LUNCH | {"authorizationToken": payer.tan})[0] == 200


@pytest.mark.parametrize("wrong", [{"recipient": " "}, {"iban": "DE89370400440532013001"}, {"iban": 7}, {"amount": 0},
                                   {"amount": -1}, {"amount": 12.5}, {"amount": "1250"}])  # fmt: skip
def test_an_order_that_makes_no_sense_is_refused(payer: Payer, wrong: dict[str, Any]) -> None:
    assert payer.ask("POST", "/transfer", LUNCH | wrong)[0] == 400
    assert payer.ask("POST", "/timed-orders", LUNCH | {"date": "2025-04-01T12:00:00.000Z"} | wrong)[0] == 400
    assert payer.world.text_messages == []


def test_a_standing_order_is_listed_when_it_is_confirmed_and_stays_when_it_is_cancelled(payer: Payer) -> None:
    order = LUNCH | {"reoccurrence": "MONTHLY", "firstExecutionDate": "2025-04-01T12:00:00.000Z", "lastExecutionDate": None}
    count = len(payer.ask("GET", "/standing-orders")[1])
    assert payer.ask("POST", "/standing-orders", order | {"reoccurrence": "DAILY"})[0] == 400
    _, registered = payer.ask("POST", "/standing-orders", order)
    assert (registered["status"], registered["amount"]) == ("CONFIRMATION_REQUIRED", 1250)
    assert len(payer.ask("GET", "/standing-orders")[1]) == count
    confirm = {"requestId": registered["requestId"], "authorizationToken": payer.tan}
    assert payer.ask("POST", "/standing-orders/confirm", confirm | {"authorizationToken": "1"})[0] == 403
    _, made = payer.ask("POST", "/standing-orders/confirm", confirm)
    assert (made["status"], made["nextOccurrence"]) == ("ACTIVE", "2025-04-01T00:00:00.000+00:00")
    assert payer.ask("POST", "/standing-orders/confirm", confirm)[0] == 404

    _, registered = payer.ask("PATCH", f"/standing-orders/{made['id']}/cancel")
    payer.ask("POST", "/standing-orders/confirm", {"requestId": registered["requestId"], "authorizationToken": payer.tan})
    listed = {one["id"]: one["status"] for one in payer.ask("GET", "/standing-orders")[1]}
    assert listed[made["id"]] == "CANCELED"
    assert payer.ask("PATCH", f"/standing-orders/{made['id']}", {"amount": 1})[0] == 400
    assert payer.ask("PATCH", "/standing-orders/999", {"amount": 1})[0] == 404


def test_a_timed_order_is_listed_negative_until_it_is_cancelled_without_a_tan(payer: Payer) -> None:
    _, registered = payer.ask("POST", "/timed-orders", LUNCH | {"date": "2025-04-01T14:32:08.604Z"})
    assert registered["scheduled_transaction"]["amount"] == {"value": 1250, "currency": "EUR", "unit": "cents"}
    path = f"/timed-orders/{registered['id']}"
    assert payer.ask("POST", f"{path}/confirm", {"token": "1"})[0] == 403
    assert payer.ask("POST", f"{path}/confirm", {"token": payer.tan})[1]["status"] == "SCHEDULED"
    listed = {one["id"]: (one["amount"], one["status"]) for one in payer.ask("GET", "/timed-orders")[1]}
    assert listed[registered["id"]] == (-1250, "scheduled")
    assert payer.ask("PATCH", f"{path}/cancel")[1]["status"] == "CANCELED"
    assert registered["id"] not in [one["id"] for one in payer.ask("GET", "/timed-orders")[1]]
    assert payer.ask("PATCH", f"{path}/cancel")[0] == 404


def test_an_order_is_confirmed_by_its_own_account_only(payer: Payer) -> None:
    link, tan = payer.link(), payer.tan
    assert payer.ask("PUT", link, LUNCH | {"authorizationToken": tan}, account=4712)[0] == 404


def test_nobody_pays_without_a_login(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    assert visitor.http.post("/api/accounts/4711/transfer", json=LUNCH).status_code == 401


def test_a_bank_that_rotates_gives_a_new_refresh_token_with_each_renewal(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    visitor.bank.kontist.rotates = True
    login = {"email": visitor.world.kontist_email, "password": visitor.world.kontist_password}
    old = visitor.http.post("/api/user/refresh-token", json=login).json()["token"]

    def renewed(token: str) -> Any:
        return visitor.http.post("/api/user/auth-token", headers={"Authorization": f"Bearer {token}"})

    first = renewed(old).json()
    assert renewed(old).status_code == 401
    assert renewed(first["refresh_token"]).status_code == 200
    accounts = visitor.http.get("/api/accounts", headers={"Authorization": f"Bearer {first['token']}"})
    assert accounts.status_code == 200
