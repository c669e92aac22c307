"""Somebody who visits the sandbox bank over HTTP, with no help from our own readers."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest
from lxml import etree

from sources.sandbox import SandboxBank, World, running

V21 = "application/vnd.kontist.transactionlist.v2.1+json"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates for loopback would cost more than the tests


class Visitor:
    """A client of both banks. `token` is the consent of the session asked for last."""

    def __init__(self, bank: SandboxBank) -> None:
        self.bank, self.world = bank, bank.world
        self.http = httpx.Client(base_url=bank.url, verify=NO_TLS, headers={"X-Api-Key": bank.world.kontomatik_api_key})
        self.token = ""

    # ---- Kontist

    def kontist(self, path: str, accept: str = V21, **more: Any) -> httpx.Response:
        login = (self.world.kontist_email, self.world.kontist_password)
        return self.http.get(f"/api/accounts{path}", headers={"Accept": accept}, auth=more.pop("auth", login), **more)

    def pages(self, number: int = 4711) -> list[dict[str, Any]]:
        """Every row of an account, following `next`."""
        rows: list[dict[str, Any]] = []
        path = f"/{number}/transactions"
        while path:
            page = self.kontist(path).json()
            rows += page["results"]
            path = (page["next"] or "").removeprefix("/api/accounts")
        return rows

    # ---- Kontomatik

    def session(self, **fields: str) -> dict[str, str]:
        reply = self.http.post("/v1/mock-session.xml", data={"multipleAccess": "true"} | fields)
        root = etree.fromstring(reply.content)
        if self.bank.dialect == "openapi":
            return {name: root.findtext(name) or "" for name in ("sessionId", "sessionIdSignature")}
        self.token = root.findtext("multipleAccessId") or ""
        return _session(root)

    def start(self, session: dict[str, str], **fields: str) -> httpx.Response:
        return self.http.post("/v1/command/default-import.xml", data=session | fields)

    def reuse(self, token: str, **fields: str) -> httpx.Response:
        name = "multipleAccessToken" if self.bank.dialect == "openapi" else "multipleAccessId"
        return self.http.post("/v1/command/reuse-multiple-access.xml", data={name: token} | fields)

    def delete(self, token: str) -> httpx.Response:
        name = "multipleAccessToken" if self.bank.dialect == "openapi" else "multipleAccessId"
        return self.http.post("/v1/command/delete-multiple-access.xml", data={name: token})

    def poll(self, accepted: httpx.Response) -> httpx.Response:
        root = etree.fromstring(accepted.content)
        number = root.findtext("id") or root.find("command").get("id")
        return self.http.get(f"/v1/command/{number}.xml")

    def whole(self, accepted: httpx.Response) -> Any:
        """The result of an import that was just started."""
        reply = self.poll(accepted)
        assert reply.status_code == 200, reply.text
        return etree.fromstring(reply.content)

    def first_import(self, **fields: str) -> Any:
        root = self.whole(self.start(self.session(), **fields))
        self.token = root.findtext("multipleAccessToken") or self.token
        return root

    def reused_import(self, token: str, **fields: str) -> Any:
        """What a reused consent shows, in either dialect."""
        reply = self.reuse(token, **(fields if self.bank.dialect == "openapi" else {}))
        if self.bank.dialect == "live":
            reply = self.start(_session(etree.fromstring(reply.content)), **fields)
        return self.whole(reply)

    def days(self, root: Any) -> list[date]:
        """The day of every row in a result, the booking day where there is one."""
        if self.bank.dialect == "openapi":
            return [date.fromisoformat(row.findtext("date")) for row in root.iter("transactions")]
        rows = root.iter("moneyTransaction")
        return [date.fromisoformat(row.findtext("bookedOn") or row.findtext("transactionOn")) for row in rows]

    def sums(self, root: Any) -> dict[tuple[str, str], tuple[int, Decimal, int, Decimal]]:
        """What `World.totals` says, from an import."""
        found = {}
        for own in root.iter("accounts") if self.bank.dialect == "openapi" else root.iter("account", "creditCard"):
            booked, pending = [], []
            for row in own.findall("transactions") + own.findall("moneyTransactions/moneyTransaction"):
                amount = Decimal(row.findtext("amount") or row.findtext("currencyAmount"))
                (pending if row.findtext("status") == "PENDING" else booked).append(amount)
            key = own.findtext("number") or own.findtext("iban") or own.findtext("name")
            found["kontomatik", key] = (len(booked), _sum(booked), len(pending), _sum(pending))
        return found


def _session(root: Any) -> dict[str, str]:
    session = root.find("session")
    return {"sessionId": session.get("id"), "sessionIdSignature": session.get("signature")}


def _sum(amounts: list[Decimal]) -> Decimal:
    return sum(amounts, Decimal("0.00"))


@pytest.fixture
def visit() -> Iterator[Callable[..., Visitor]]:
    """Opens a bank with the arguments of `running`, and a visitor in it; both leave with the test."""
    with ExitStack() as stack:

        def opened(world: World, *faults: Any, **options: Any) -> Visitor:
            visitor = Visitor(stack.enter_context(running(world, *faults, **options)))
            stack.enter_context(visitor.http)
            return visitor

        yield opened


@pytest.fixture
def exception() -> Callable[[httpx.Response], str | None]:
    """The name of the exception in a reply of Kontomatik's, whichever place it is in."""

    def name(reply: httpx.Response) -> str | None:
        found = etree.fromstring(reply.content).find(".//exception")
        return None if found is None else found.get("name")

    return name
