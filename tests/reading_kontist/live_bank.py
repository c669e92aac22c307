"""Kontist's live service in memory: rows that change between two requests, and three ways in which a cursor may work."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Literal

import httpx

from sources._http import Http, Patience
from sources.kontist.auth import Application, Login
from sources.kontist.oauth import OAuthTokens
from sources.kontist.query_client import QueryClient

Json = dict[str, Any]
Cursors = Literal["place", "offset", "row"]
"""A cursor is a place between two rows, a number of rows, or the row before. A `row` that has gone begins anew."""
NEWEST = date(2026, 3, 20)
HIDDEN = "_order"
State = tuple[tuple[str, int, bool], ...]
"""Of each row, newest first: its id, cents, whether it is booked."""


def amount_of(number: int) -> int:
    """No two rows, and no two sums of some, are the same: what only an equal amount can hide is described in the README."""
    return int.from_bytes(sha256(str(number).encode()).digest()[:5])


def node(number: int, day: date, *, pending: bool = False, **changes: Any) -> Json:
    """A transaction as the live service shows it, on a Berlin day of winter."""
    moment = f"{day}T11:00:00.000Z" if pending else f"{day - timedelta(1)}T23:00:00.000Z"
    return {
        "id": f"t-{number}",
        "amount": amount_of(number),
        "bookingDate": moment,
        "valutaDate": None if pending else moment,
        "type": "CARD_TRANSACTION",
        "source": "SOLARIS",
        "name": "Beispiel GmbH",
        "purpose": f"Rechnung {number}",
    } | changes


def day_of(one: Json) -> date:
    moment = date.fromisoformat(one["bookingDate"][:10])
    return moment if "T11:" in one["bookingDate"] else moment + timedelta(1)


@dataclass
class LiveBank:
    """Answers the queries of a reader: the main account `4711`, or the further account `sub`, has the rows.

    `meanwhile` is called before each page with its number, from 1 on. `spoil` may change a page's answer, or return another one.
    """

    page_size: int = 3
    cursors: Cursors = "place"
    further: bool = False
    filter_hides_pending: bool = False
    meanwhile: Callable[[int], None] = lambda _: None
    spoil: Callable[[int, Json], httpx.Response | None] = lambda *_: None
    opening: int = 0
    rows: list[Json] = field(default_factory=list)
    pages_asked: int = 0
    looks: list[State] = field(default_factory=list)
    days: dict[str, date] = field(default_factory=dict)
    _next: int = 1000

    def client(self) -> QueryClient:
        """The real client, talking to this bank."""
        http = Http(
            "kontist",
            "https://kontist.test",
            patience=Patience((0, 0), lambda _: None),
            transport=httpx.MockTransport(self.answer),
        )
        login = Login(refresh_token="refresh", application=Application("id", "secret"))
        return QueryClient(http, OAuthTokens(http, login))

    def begin(self, size: int, *, every: int = 2, pending: int = 0) -> None:
        """Starts with `size` rows, `every` so many on a day, of which the newest `pending` are reservations."""
        newest_first = [
            node(number, NEWEST - timedelta((size - number) // every), pending=size - number < pending)
            for number in range(size, 0, -1)
        ]
        self.rows = [one | {HIDDEN: float(size - place)} for place, one in enumerate(newest_first)]
        self.remember()

    def remember(self) -> None:
        self.looks.append(self.state)
        self.days |= {one["id"]: day_of(one) for one in self.rows}

    @property
    def state(self) -> State:
        return tuple((one["id"], one["amount"], one["valutaDate"] is not None) for one in self.rows)

    @property
    def balance(self) -> int:
        return self.opening + sum(one["amount"] for one in self.rows if one["valutaDate"] is not None)

    # ---- what happens

    def come(self, place: int, *, pending: bool = False) -> None:
        """A row comes at a place, with the day of the row in front of it; on top, of the newest day."""
        at = min(place, len(self.rows))
        self._next += 1
        day = day_of(self.rows[max(0, at - 1)]) if self.rows else NEWEST
        above = self.rows[at - 1][HIDDEN] if at else (self.rows[0][HIDDEN] + 2 if self.rows else 1.0)
        below = self.rows[at][HIDDEN] if at < len(self.rows) else above - 2
        self.rows.insert(at, node(self._next, day, pending=pending) | {HIDDEN: (above + below) / 2})

    def go(self, place: int) -> None:
        if place < len(self.rows):
            self.rows.pop(place)

    def book(self, place: int) -> None:
        """A row goes, and another one comes on top with another amount, as a reservation is booked."""
        if place < len(self.rows):
            self.rows.pop(place)
            self.come(0)

    def edit(self, place: int) -> None:
        """A row gets another amount."""
        if place < len(self.rows):
            self._next += 1
            self.rows[place] = self.rows[place] | {"amount": amount_of(self._next)}

    # ---- answers

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "a", "expires_in": 9e9, "token_type": "Bearer"})
        sent = json.loads(request.content)
        query, variables = sent["query"], sent["variables"]
        if "page:" not in query:
            return httpx.Response(200, json={"data": self._accounts()})
        self.pages_asked += 1
        self.meanwhile(self.pages_asked)
        self.remember()
        after = variables.get("after")
        found = {"page": self._page(after, variables.get("filter"))}
        if "newest:" in query:
            found["newest"] = self._page(None, None)
        content: Json = {"data": found if self.further else {"viewer": {"mainAccount": found}}}
        return self.spoil(self.pages_asked, content) or httpx.Response(200, json=content)

    def _accounts(self) -> Json:
        main = {"id": 4711, "iban": "DE57999900000000004242", "balance": 0 if self.further else self.balance}
        subs = [{"publicId": "sub", "iban": "DE57999900000000004243", "name": "Further", "balance": self.balance / 100}]
        return {"viewer": {"mainAccount": main}, "getSubAccounts": subs if self.further else []}

    def _page(self, after: str | None, asked: Json | None) -> Json:
        rows = self.rows
        if asked:
            rows = [one for one in rows if one["bookingDate"] >= asked["bookingDate_gte"]]
            rows = [one for one in rows if one["valutaDate"] or not self.filter_hides_pending]
        start = self._start(rows, after)
        shown = rows[start : start + self.page_size]
        end = start + len(shown)
        nodes = [{"node": {name: value for name, value in one.items() if name != HIDDEN}} for one in shown]
        last = None if not shown else {"place": str(shown[-1][HIDDEN]), "offset": str(end), "row": shown[-1]["id"]}[self.cursors]
        return {"edges": nodes, "pageInfo": {"hasNextPage": end < len(rows), "endCursor": last}}

    def _start(self, rows: list[Json], after: str | None) -> int:
        if after is None:
            return 0
        if self.cursors == "offset":
            return int(after)
        if self.cursors == "row":
            return next((place + 1 for place, one in enumerate(rows) if one["id"] == after), 0)
        return next((place for place, one in enumerate(rows) if one[HIDDEN] < float(after)), len(rows))
