"""A Kontist in memory: a list of rows, newest first, served page by page. What happens between two requests is the test's."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import count
from random import Random
from threading import RLock
from typing import Any

import httpx
import pyarrow as pa

from sources._http import Http, Patience
from sources._protocols import Reading
from sources.kontist.accounts import Account
from sources.kontist.auth import Login
from sources.kontist.client import KontistClient
from sources.kontist.prefetch import Prefetch
from sources.kontist.rows import read_rows
from sources.kontist.transactions import read_transactions

Json = dict[str, Any]
ACCOUNT = Account("kontist:0011223344556677", "4711", {})
V21 = "application/vnd.kontist.transactionlist.v2.1+json"


def row(number: int, day: str = "2026-03-20", *, cents: Any = 100, **changes: Any) -> Json:
    """A transaction in the documented form, booked on a Berlin `day` (or `pending=True` at noon of it)."""
    pending = changes.pop("pending", False)
    moment = f"{day}T11:00:00+00:00" if pending else f"{date.fromordinal(date.fromisoformat(day).toordinal() - 1)}T23:00:00+00:00"
    return {
        "id": number,
        "amount": cents,
        "type": None,
        "category": None,
        "name": "Beispiel GmbH",
        "iban": "DE57999900000000004242",
        "purpose": f"Rechnung {number}",
        "e2eId": "NOTPROVIDED",
        "bookingDate": moment,
        "valutaDate": None if pending else moment,
        "bookingType": None if pending else "SEPA_CREDIT_TRANSFER",
        "originalAmount": None,
        "foreignCurrency": None,
        "paymentMethod": "bank_account",
        "invoiceNumber": None,
        "invoicePreviewUrl": None,
        "invoiceDownloadUrl": None,
        "userSelectedBookingDate": None,
        "documentType": None,
        "mandateNumber": None,
    } | changes


def jwt(**claims: Any) -> str:
    """A token that says `claims`; nobody checks its signature here."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


@dataclass
class FakeBank:
    """Answers every reading endpoint of one account and hands out tokens.

    `meanwhile` is called before each page of transactions with its number in the order of asking, from 1 on.
    `instead` may answer any request in the bank's place.
    """

    rows: list[Json] = field(default_factory=list)
    page_size: int = 2
    meanwhile: Callable[[int], None] = lambda _: None
    instead: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    overlap: int = 0
    accounts: Any = ...
    """Instead of the one account with its balance."""
    orders: dict[str, Any] = field(default_factory=dict)

    now: float = 1_800_000_000.0
    lifetime: float = 3600
    refresh_tokens: set[str] = field(default_factory=lambda: {"refresh-0"})
    auth_tokens: dict[str, float] = field(default_factory=dict)
    rotates: bool = False
    asked: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    _given: int = 0
    _alone: Any = field(default_factory=RLock)

    def client(self, login: Login | None = None) -> KontistClient:
        """The real client, talking to this bank; a sleep only remembers."""
        http = Http(
            "kontist",
            "https://kontist.test",
            patience=Patience((1.0, 4.0), self.slept.append),
            transport=httpx.MockTransport(self.answer),
        )
        login = login or Login(refresh_token="refresh-0")
        return KontistClient(http, login, clock=lambda: self.now, on_new_refresh_token=self.kept.append)

    def answer(self, request: httpx.Request) -> httpx.Response:
        with self._alone:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        instead = self.instead(request)
        if instead is not None:
            return instead
        path = request.url.path.rstrip("/")
        if path.startswith("/api/user/"):
            return self._token(request, path.rpartition("/")[2])
        kind, _, token = request.headers["Authorization"].partition(" ")
        if kind == "Bearer" and self.auth_tokens.get(token, 0) <= self.now:
            return httpx.Response(401, json={"title": "Unauthorized"})
        if path == "/api/accounts":
            own = {"id": 4711, "iban": "DE57999900000000004242", "balance": self.balance}
            return httpx.Response(200, json=[own] if self.accounts is ... else self.accounts)
        if path == "/api/accounts/4711/transactions":
            self.meanwhile(self.pages_asked)
            return httpx.Response(200, json=self._page(int(request.url.params.get("page", 1))))
        return httpx.Response(200, json=self.orders[path.rpartition("/")[2]])

    @property
    def balance(self) -> int:
        """What the booked rows make."""
        booked = [one for one in self.rows if one["valutaDate"] or one["bookingType"]]
        return sum(one["amount"] for one in booked if type(one["amount"]) is int)

    @property
    def pages_asked(self) -> int:
        """How many pages of transactions were asked for."""
        return sum(request.url.path.endswith("/transactions") for request in self.asked)

    @property
    def tokens_asked(self) -> list[str]:
        """The token endpoints that were asked, in order."""
        return [f"{one.method} {one.url.path[10:]}" for one in self.asked if one.url.path.startswith("/api/user/")]

    def _page(self, number: int) -> Json:
        start = (number - 1) * self.page_size
        more = start + self.page_size < len(self.rows)
        following = f"/api/accounts/4711/transactions?page={number + 1}" if more else None
        shown = self.rows[max(0, start - self.overlap) : start + self.page_size]
        return {"next": following, "total": len(self.rows), "results": shown}

    def _token(self, request: httpx.Request, kind: str) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(204)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer:
            known = kind == "auth-token" and bearer in self.refresh_tokens
        else:
            known = json.loads(request.content) == {"email": "ada@example.test", "password": "right"}
        if not known:
            return httpx.Response(401, json={"title": "Invalid: ada@example.test"})
        self._given += 1
        if kind == "refresh-token":
            self.refresh_tokens.add(f"refresh-{self._given}")
            return httpx.Response(200, json={"token": f"refresh-{self._given}"})
        token = jwt(exp=self.now + self.lifetime, number=self._given)
        self.auth_tokens[token] = self.now + self.lifetime
        if not self.rotates:
            return httpx.Response(200, json={"token": token})
        self.refresh_tokens = {f"refresh-{self._given}"}
        return httpx.Response(200, json={"token": token, "refresh_token": f"refresh-{self._given}"})


@dataclass
class MemorySpool:
    """A spool that a test can look into."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejected: list[tuple[str, Json, date | None]] = field(default_factory=list)
    cleared: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        self.batches.append(rows)

    def add_in_front(self, rows: pa.RecordBatch) -> None:
        self.batches.insert(0, rows)

    def reject(self, reason: str, payload: Json, window_on: date | None) -> None:
        self.rejected.append((reason, payload, window_on))

    def clear(self) -> None:
        self.batches.clear()
        self.rejected.clear()
        self.cleared += 1

    @property
    def rows(self) -> list[Json]:
        """All rows by column."""
        return [one for batch in self.batches for one in batch.to_pylist()]

    @property
    def ids(self) -> list[int]:
        """All ids in the bank's order."""
        return [int(one["source_transaction_id"]) for one in self.rows]


@dataclass
class Memory:
    """What raw history knows: rows by column."""

    rows: list[Json] = field(default_factory=list)
    once: list[Json] = field(default_factory=list)
    """Rows that made the balance, and are not known any more."""

    def unchanged(self, rows: pa.RecordBatch) -> bool:
        known = {one["source_transaction_id"]: one for one in self.rows}
        return all(known.get(one["source_transaction_id"]) == one for one in rows.to_pylist())

    def oldest_pending(self) -> date | None:
        return min((one["window_on"] for one in self.rows if one["valuta_date"] is None), default=None)

    def balance_before(self, since: date | None) -> int | None:
        """Everything began with nothing."""
        made = [one for one in self.once or self.rows if one["valuta_date"] or one["booking_type"]]
        return sum(one["amount_cents"] for one in made if one["window_on"] < (since or date.min))


one_by_one = partial(Prefetch, most=0)
"""Asks for each page when the one before has been judged."""


class AnyOrder(Executor):
    """Does what it is given when somebody waits for it, and before that some of the rest: in an order drawn by `seed`."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)  # noqa: S311 (a shuffle)
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        executor = self

        class Waited(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                while not self.done():
                    executor.some()
                return super().result(timeout)

        future: Future[Any] = Waited()
        self._waiting.append((future, lambda: work(*arguments, **options)))
        return future

    def some(self) -> None:
        """Do one of the waiting."""
        future, work = self._waiting.pop(self._dice.randrange(len(self._waiting)))
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._waiting.clear()


def in_any_order(seed: int) -> Any:
    """Fetches pages ahead, and has them answered in an order that depends on `seed` alone."""
    return partial(Prefetch, pool=lambda _: AnyOrder(seed), clock=count().__next__)  # a bank that is far away


def read(
    bank: FakeBank, depth: Any = "full", *, since: str | None = None, known: Memory | None = None, prefetch: Any = one_by_one
) -> tuple[Reading, MemorySpool]:
    spool = MemorySpool()
    day = date.fromisoformat(since) if since else None
    known = known or Memory(once=columns_of(bank.rows) if depth == "deep" else [])
    client = bank.client()
    reading = read_transactions(client, client.accounts()[0], depth=depth, since=day, known=known, spool=spool, prefetch=prefetch)
    return reading, spool


def columns_of(rows: list[Json]) -> list[Json]:
    """What the reader makes of rows, by column."""
    columns: list[Json] = read_rows(json.dumps(rows).encode(), "4711").batch.to_pylist()
    return columns


def known_of(rows: list[Json]) -> Memory:
    """A history that has read `rows` before."""
    return Memory(read(FakeBank(rows, page_size=100))[1].rows)


def a_row_a_day(days: int, *, newest: str = "2026-03-20") -> list[Json]:
    """Rows `days`…1, newest first."""
    last = date.fromisoformat(newest)
    return [row(number, str(last - timedelta(days - number))) for number in range(days, 0, -1)]


def page_bodies(*bodies: Any) -> Callable[[httpx.Request], httpx.Response | None]:
    """Answers page 1, 2, … with these bodies."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.rstrip("/").endswith("/transactions"):
            return None
        return httpx.Response(200, json=bodies[int(request.url.params.get("page", 1)) - 1])

    return answer
