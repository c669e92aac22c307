"""The sandbox as a server: what it counts, how it is steered from outside, how it ends."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from sources.sandbox import World, running, server
from tests.patience import patient

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)


def test_every_request_is_counted_and_the_control_surface_is_not(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    visitor.kontist("/4711/transactions?page=2")
    visitor.http.get("/v1/health")
    visitor.http.get("/_sandbox/totals")

    assert visitor.bank.requests == [("GET", "/api/accounts/4711/transactions"), ("GET", "/v1/health")]
    assert visitor.bank.count(path_contains="transactions") == 1
    assert visitor.bank.count("POST") == 0


def test_one_connection_serves_many_requests_and_many_serve_at_once(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    login = (visitor.world.kontist_email, visitor.world.kontist_password)

    def read(number: int) -> int:
        return int(visitor.http.get(f"/api/accounts/4711/transactions?page={number}", auth=login).status_code)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(1, 41))) == {200}
    assert len(visitor.bank.connections) <= 8


def test_a_request_that_is_no_http_closes_its_connection_only(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    host, port = visitor.bank.url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as plain:
        plain.sendall(b"hello\r\n\r\n")
        assert plain.recv(100) == b""
    with socket.create_connection((host, int(port))) as chunked:
        chunked.sendall(b"POST /api/user/auth-token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert chunked.recv(100).startswith(b"HTTP/1.1 400")
    assert visitor.kontist("").status_code == 200


def test_a_failure_of_the_sandbox_itself_is_loud(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visit(World(today=TODAY))
    monkeypatch.setattr(visitor.bank, "kontist", None)

    assert visitor.kontist("").status_code == 500


def test_a_chosen_port_is_kept_and_free_again_afterwards() -> None:
    with running(World(today=TODAY)) as first:
        port = int(first.url.rpartition(":")[2])
    with running(World(today=TODAY), port=port) as second, httpx.Client(verify=False) as http:  # noqa: S501  plain HTTP
        assert second.url == first.url
        assert http.get(f"{second.url}/v1/health").status_code == 200


def test_latency_delays_every_answer(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visit(World(today=TODAY), latency=0.5)
    waited: list[float] = []
    monkeypatch.setattr(visitor.bank, "wait", waited.append)

    visitor.kontist("")
    visitor.http.get("/v1/health")

    assert waited == [0.5, 0.5]


def test_a_bank_that_closes_lets_nobody_wait() -> None:
    def ask(url: str) -> None:
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/v1/health", timeout=patient(60))

    with running(World(today=TODAY), latency=60) as bank:
        asking = Thread(target=ask, args=(bank.url,), daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            began = Event()
            wait = bank.wait
            patch.setattr(bank, "wait", lambda seconds: (began.set(), wait(seconds)))
            asking.start()
            began.wait(patient(10))
    asking.join(patient(10))
    assert not asking.is_alive()


# ---- steering from outside


def test_the_world_can_be_read_and_changed_over_http(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    http = visitor.http

    def change(what: str, **body: Any) -> Any:
        reply = http.post(f"/_sandbox/{what}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    about = http.get("/_sandbox/").json()
    assert about["kontist"] == {"email": visitor.world.kontist_email, "password": visitor.world.kontist_password}
    row = change("append", account="4711", amount="-12.50", description="by hand")
    assert (row["amount"], row["booked_on"]) == ("-12.50", str(TODAY))
    pending = change("append", account="4711", amount="-3.00", pending=True)
    assert pending["booked_on"] is None
    assert change("book", id=pending["id"], amount="-3.10")["amount"] == "-3.10"
    assert change("correct", id=row["id"], amount="-13.00", day="2025-03-01")["booked_on"] == "2025-03-01"
    totals = {own["key"]: own for own in http.get("/_sandbox/totals").json()}
    account = visitor.world.account("4711")
    assert totals[account.key]["balance"] == str(account.balance)
    assert totals[account.key]["booked_count"] == account.totals().booked_count
    change("delete", id=row["id"])
    assert account.totals().booked_count == totals[account.key]["booked_count"] - 1
    listed = http.get("/_sandbox/transactions", params={"account": "4711", "limit": "3"}).json()
    assert [own["id"] for own in listed] == [own.id for own in account.transactions[:3]]


def test_what_only_kontist_s_live_service_shows_can_be_made_over_http(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    http, world = visitor.http, visitor.world

    def change(what: str, **body: Any) -> Any:
        reply = http.post(f"/_sandbox/{what}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    memo = change("memo", account="4711", amount="-9.00", source="BACKOFFICE_MANUAL", day="2025-03-01")
    event = change("memo", account="4711", amount="-1.00", source="SOLARIS", kind="FAILED_CARD_USAGE", pending=True)
    assert [(one["id"], one["source"]) for one in http.get("/_sandbox/memos").json()] == [
        (memo["id"], "BACKOFFICE_MANUAL"),
        (event["id"], "SOLARIS"),
    ]
    change("forget", id=memo["id"])
    assert [row.id for row, _ in world.memos] == [event["id"]]

    row = change("append", account="4711", amount="-12.50")
    parts = [{"amount": "-10.00", "category": "VAT_19"}, {"amount": "-2.50"}]
    assert change("divide", id=row["id"], parts=parts)["splits"] == [parts[0], parts[1] | {"category": None}]
    change("annotate", id=row["id"], note="for the office")
    assert (world.find(row["id"]).splits[1].cents, world.notes[row["id"]]) == (-250, "for the office")
    assert change("divide", id=row["id"], parts=[])["splits"] == []

    sent = change("transfer", account="4711", amount="100.00", party="Somebody", kind="INSTANT_CREDIT_TRANSFER")
    assert (sent["status"], sent["amount"], sent["recipientName"]) == ("CONFIRMED", 10_000, "Somebody")
    assert change("transfer_status", id=sent["id"], status="BOOKED")["status"] == "BOOKED"


def test_time_and_life_can_be_moved_over_http(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))

    now = visitor.http.post("/_sandbox/clock", json={"advance_hours": 30}).json()["now"]
    assert date.fromisoformat(now[:10]) > TODAY
    assert visitor.world.today == TODAY
    assert visitor.http.post("/_sandbox/live", json={"days": 2}).json() == {"today": "2025-03-22"}
    assert visitor.world.today == date(2025, 3, 22)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("append", {"account": "nobody", "amount": "1"}),
        ("append", {"account": "4711", "amount": "much"}),
        ("append", {"account": "4711", "amount": 1.5}),
        ("append", {"account": "4711"}),
        ("correct", {"id": 1}),
        ("clock", {"advance_hours": "soon"}),
        ("memo", {"account": "4711", "amount": "1", "source": "nobody"}),
        ("memo", {"account": "4711", "amount": "1", "source": "SOLARIS"}),
        ("memo", {"account": "Konto Start", "amount": "1"}),
        ("forget", {"id": 1}),
        ("transfer", {"account": "4711", "amount": "1", "status": "SENT"}),
        ("transfer_status", {"id": 1, "status": "BOOKED"}),
    ],
)
def test_a_change_that_makes_no_sense_is_explained(visit: Visit, what: str, body: dict[str, Any]) -> None:
    reply = visit(World(today=TODAY)).http.post(f"/_sandbox/{what}", json=body)

    assert reply.status_code == 400
    assert reply.json()["error"]


def test_unknown_controls_are_not_found(visit: Visit) -> None:
    http = visit(World(today=TODAY)).http

    assert http.get("/_sandbox/nothing").status_code == 404
    assert http.post("/_sandbox/nothing", json={}).status_code == 404
    assert http.delete("/_sandbox/append").status_code == 404


def test_serving_for_ever_says_where_and_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(today=TODAY)
    found: list[Any] = []

    class Interrupted:
        def wait(self) -> None:
            raise KeyboardInterrupt

    def ready(url: str) -> None:
        found.append(url)
        httpx.post(f"{url}/_sandbox/clock", json={"advance_hours": 48})
        login = (world.kontist_email, world.kontist_password)
        found.append(httpx.get(f"{url}/api/accounts/4711/transactions", auth=login).json()[0]["id"])
        monkeypatch.setattr(server, "Event", Interrupted)

    server.serve_forever(world, dialect="live", on_ready=ready)

    assert world.today >= date(2025, 3, 22)
    assert found[1] == world.account("4711").transactions[0].id
    with pytest.raises(httpx.ConnectError):
        httpx.get(found[0])


def test_scopes_that_were_restricted_over_http_are_granted_again(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    for scopes in ("accounts", None):
        assert visitor.http.post("/_sandbox/login", json={"grants": scopes}).json()["grants"] == scopes
    assert visitor.bank.kontist.oauth.grants is None
    assert visitor.http.post("/_sandbox/login", json={"denies": None}).status_code == 400
