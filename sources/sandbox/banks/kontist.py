"""Kontist, as its vendor document says: accounts, transactions, orders and payments as JSON.

Where the document contradicts itself or is silent, the observed behaviour counts: the list is signed and the single
transaction is not; booked rows are Berlin midnights; the envelope needs the exact v2.1 media type.
"""

import hmac
import json
from base64 import b64decode
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from ..world.people import ADA
from ..world.records import Account, Transaction
from ..world.values import berlin_midnight
from ..world.world import World
from .oauth import OAuth, scopes_of
from .orders import standing_orders, timed_orders
from .payments import Payments
from .tokens import Scope, Tokens
from .wire import Answer, Call, Shown, as_json, problem

if TYPE_CHECKING:
    from .graphql import GraphQl

ENVELOPE = "application/vnd.kontist.transactionlist.v2.1+json"
_quoted = lru_cache(maxsize=4096)(encode_basestring)


class Kontist:
    """Answers every path under `/api/`. With `rotates` a renewal gives a new refresh token, and the old one is worthless."""

    def __init__(self, world: World, page_size: int, shown: Callable[[Account], Shown]) -> None:
        self.world = world
        self.tokens = Tokens(world)
        self.rotates = False
        self.wants_confirmation = False
        """Whether a token is good for nothing until it is confirmed on the phone, as today (observed)."""
        self.speaks = {"rest", "graphql"}
        """The dialects that this service answers in."""
        self.oauth = OAuth(world, self.tokens)
        self._graphql: GraphQl | None = None
        self._payments = Payments(world)
        self._page_size = page_size
        self._shown = shown

    def answer(self, call: Call) -> Answer:
        parts = call.path.strip("/").split("/")
        if _dialect_of(parts) not in (None, *self.speaks):
            return problem(404, "Not Found")
        if parts[1:2] == ["oauth"] or parts[1:3] == ["user", "mfa"]:
            return self.oauth.answer(call)
        if parts == ["api", "graphql"] and call.method == "POST":
            return self.graphql.answer(call, self._application(call))
        if parts[1:2] == ["user"] and len(parts) == 3 and parts[2] in ("auth-token", "refresh-token"):
            return self._token(call, "auth" if parts[2] == "auth-token" else "refresh")
        if not self._known(call):
            return problem(401, "Unauthorized")
        if self.wants_confirmation and not self._confirmed(call):
            return problem(403, "Forbidden")
        if parts == ["api", "accounts"] and call.method == "GET":
            return self._accounts()
        account = next((own for own in self._own() if len(parts) > 3 and own.number == parts[2]), None)
        if account is None or parts[1] != "accounts":
            return problem(404, "Not Found")
        if call.method != "GET":
            return self._payments.answer(call, account, parts[3:]) or problem(404, "Not Found")
        match parts[3:]:
            case ["transactions"]:
                return self._page(call, account)
            case ["transactions", number]:
                return self._transaction(account, number)
            case ["standing-orders"]:
                return as_json(standing_orders(self.world, account), about="orders")
            case ["timed-orders"]:
                return as_json(timed_orders(self.world, account), about="orders")
        return problem(404, "Not Found")

    @property
    def graphql(self) -> "GraphQl":
        """The live service. Its library is imported when somebody uses it."""
        if self._graphql is None:
            from .graphql import GraphQl

            self._graphql = GraphQl(self.world, self._shown)
        return self._graphql

    # ---- who asks

    def _application(self, call: Call) -> dict[str, Any] | None:
        """Returns the claims of an access token that OAuth2 has given."""
        kind, _, bearer = call.headers.get("authorization", "").partition(" ")
        claims = self.tokens.read(bearer, "auth") if kind == "Bearer" else None
        return claims if claims is not None and scopes_of(claims) is not None else None

    def _known(self, call: Call) -> bool:
        kind, _, credential = call.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            expected = f"{self.world.kontist_email}:{self.world.kontist_password}"
            try:
                return hmac.compare_digest(b64decode(credential), expected.encode())
            except ValueError:
                return False
        return kind == "Bearer" and self.tokens.read(credential, "auth") is not None

    def _confirmed(self, call: Call) -> bool:
        claims = self.tokens.read(call.headers.get("authorization", "").partition(" ")[2], "auth")
        return claims is not None and claims.get("confirmed") == "yes"

    def _token(self, call: Call, scope: Scope) -> Answer:
        kind, _, bearer = call.headers.get("authorization", "").partition(" ")
        if call.method == "DELETE":
            claims = self.tokens.read(bearer, "auth") if kind == "Bearer" else None
            if claims is None:
                return problem(401, "Unauthorized")
            if scope == "auth":
                self.tokens.end(claims)
            else:
                # The request names no refresh token, only the access token: all of this user's end.
                self.tokens.end_all("refresh")
            return Answer(204)
        if call.method != "POST":
            return problem(404, "Not Found")
        if kind == "Bearer" and scope == "auth":
            claims = self.tokens.read(bearer, "refresh")
            if claims is None:
                return problem(401, "Unauthorized")
            if self.rotates:
                self.tokens.end(claims)
                new = {"refresh_token": self.tokens.give("refresh", ADA.external_id)}
                return as_json({"token": self.tokens.give(scope, ADA.external_id)} | new, about="token")
            if "confirmed" in claims:  # a confirmed refresh token renews confirmed tokens
                return as_json({"token": self.oauth.pair("", claims["confirmed"])[0]}, about="token")
        else:
            given = call.json()
            if not all(isinstance(given.get(name), str) for name in ("email", "password")):
                return problem(400, "email and password are required")
            expected = (self.world.kontist_email, self.world.kontist_password)
            if (given["email"], given["password"]) != expected:
                return problem(401, "Invalid email or password")
        return as_json({"token": self.tokens.give(scope, ADA.external_id)}, about="token")

    # ---- what they see

    def _own(self) -> list[Account]:
        return [account for account in self.world.accounts if account.bank == "kontist"]

    def _accounts(self) -> Answer:
        return as_json(
            [
                {
                    "id": int(account.number or 0),
                    "iban": account.iban,
                    "balance": account.balance_cents,
                    "accountType": "solaris",
                }
                for account in self._own()
            ],
            about="accounts",
        )

    def _page(self, call: Call, account: Account) -> Answer:
        rows = self._shown(account).rows
        wanted = call.query.get("page", "1")
        if not wanted.isdecimal() or int(wanted) < 1:
            return problem(400, "page must be a positive number")
        page, size = int(wanted), self._page_size
        accepted = [part.strip() for part in call.headers.get("accept", "").split(",")]
        if ENVELOPE not in accepted:
            # Every older media type gives a bare array (observed from June 2019 on); it knows no next page.
            rows = rows[(page - 1) * size : page * size] if "page" in call.query else rows
            return Answer(200, f"[{','.join(map(row_text, rows))}]".encode(), about="page", account=account, page=page)
        path = f'"/api/accounts/{account.number}/transactions?page={page + 1}"'
        body = (
            f'{{"next":{path if page * size < len(rows) else "null"},"total":{len(rows)},'
            f'"results":[{",".join(map(row_text, rows[(page - 1) * size : page * size]))}]}}'
        )
        return Answer(200, body.encode(), about="page", account=account, page=page)

    def _transaction(self, account: Account, number: str) -> Answer:
        row = account.rows.get(int(number)) if number.isdecimal() else None
        if row is None:
            return problem(404, "Not Found")
        # The vendor document shows -50433 in the list and 50433 here, for one and the same row.
        content = json.loads(row_text(row))
        return as_json(content | {"amount": abs(row.cents)}, about="transaction")


def _dialect_of(parts: list[str]) -> str | None:
    """Returns the dialect that a path belongs to; None for tokens and confirmations, which both have."""
    return {"accounts": "rest", "graphql": "graphql", "oauth": "graphql"}.get("/".join(parts[1:2]))


def row_text(row: Transaction) -> str:
    """Returns a transaction of the v2.1 list: signed cents, UTC instants, minor units of a foreign currency as text."""
    booked = f'"{_midnight(row.booked_on)}"' if row.booked_on is not None else "null"
    shown = booked if row.booked_on is not None else f'"{row.at.isoformat()}"'
    card = row.kind == "CARD_TRANSACTION" or row.original_currency is not None
    files = "null" if row.invoice is None else f'"https://files.example.test/{row.invoice}"'
    return (
        f'{{"id":{row.id},"amount":{row.cents},"type":null,"category":{_text(row.category)},"name":{_text(row.party)},'
        f'"iban":{_text(row.party_iban)},"purpose":{_text(row.description)},"e2eId":{_text(row.e2e_id)},'
        f'"bookingDate":{shown},"valutaDate":{booked},'
        f'"bookingType":{"null" if row.booked_on is None else _text(row.kind)},'
        f'"originalAmount":{"null" if row.original_cents is None else _text(str(row.original_cents))},'
        f'"foreignCurrency":{_text(row.original_currency)},'
        f'"paymentMethod":"{"credit_card" if card else "bank_account"}",'
        f'"invoiceNumber":{"null" if row.invoice is None else row.invoice},'
        f'"invoicePreviewUrl":{files},"invoiceDownloadUrl":{files},"userSelectedBookingDate":null,'
        f'"documentType":{"null" if row.invoice is None else _quoted("INVOICE")},"mandateNumber":{_text(row.mandate)}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


@lru_cache(maxsize=4096)
def _midnight(day: date) -> str:
    return berlin_midnight(day).isoformat()
