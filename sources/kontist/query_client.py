"""Kontist's live service as a reader sees it: accounts, pages by cursor, orders. Nothing here writes: no mutation is ever sent.

The status is 200 or 500 whatever happened (vendor's client), and errors stand in the body. An answer with an error is never used,
also where it brings data: a part must not pass for the whole.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sources._errors import Rejected, SourceError, Unavailable, Unexpected
from sources._http import AGAIN_LATER, Http
from sources.kontist.accounts import Account, Orders, read_account, read_orders
from sources.kontist.auth import Login, Tokens
from sources.kontist.oauth import OAuthTokens
from sources.kontist.order_lists import OrderLists, read_order_lists
from sources.kontist.queries import OPTIONAL, Fields, account_as_rest, public_id, rows_of, sub_account_as_rest
from sources.kontist.refused_fields import FieldName
from sources.kontist.responses import ASK_A_PERSON, BANK, json_bytes, refusal
from sources.kontist.rows import Rows
from sources.kontist.scopes import ORDERS, PURPOSE, ScopeMissing, forbidden, is_confirmed, missing
from sources.kontist.values import BERLIN

GRAPHQL = "/api/graphql"
MAY_HAVE_MOVED = timedelta(days=7)
"""How far from its day a row is still looked for: an edit may date it anew."""
_ANSWERED = frozenset({200, 500})
_UNKNOWN_FIELD = re.compile(r"""Cannot query field ["'](\w+)["'] on type ["'](\w+)["']""")
_UNKNOWN_VALUE = re.compile(r"""Value ["'](\w+)["'] does not exist in ["'](\w+)["'] enum""")


@dataclass(frozen=True)
class CursorPage:
    """One page of transactions, newest first. `following` is the cursor of the next one, None on the last."""

    rows: Rows
    following: str | None


class _Answered(Exception):
    """The service has answered with an error of its own (200 or 500), which `Http` does not repeat."""

    def __init__(self, error: SourceError) -> None:
        super().__init__()
        self.error = error


class QueryClient:
    """One login's view of the live service. Threads may share it.

    Every method raises `ConsentGone` when only a person can log in again, `Misconfigured`, `Rejected`, `Unavailable`, or
    `Unexpected` for an answer in a shape that nobody has described.
    """

    def __init__(self, http: Http, tokens: Tokens) -> None:
        self.http = http
        self.tokens = tokens
        self.fields = Fields()
        self.on_rows: Callable[[int, int, int | None], None] = lambda *_: None
        """Called with the pages and rows of an account that were read so far."""
        self._order_lists: dict[str, OrderLists] = {}
        self._confirmed = False
        """Whether this login could read something, so that it is not unconfirmed."""

    def accounts(self) -> list[Account]:
        """Returns the main account and all further ones, in euros. Raises `Rejected` while there is no open account."""
        data = self._data(self.fields.accounts, {}, ("accounts",))
        self._confirmed = True
        main = _object(_object(data, "viewer"), "mainAccount", or_none=True)
        if main is None:
            raise Rejected(BANK, "the customer has no open account", "Open it in Kontist's app, then try again")
        others = data.get("getSubAccounts") if self.lists_further_accounts else []
        if not isinstance(others, list) or not all(isinstance(one, dict) for one in others):
            raise _other_shape()
        # The main account counts once, and one without public id and IBAN is not open yet.
        further = (one for one in others if (one.get("publicId") or one.get("iban")) and not _is_same_account(main, one))
        listed = [account_as_rest(main), *map(sub_account_as_rest, further)]
        accounts = [replace(read_account(sent, live=True), unknown_fields=frozenset()) for sent in listed]
        if len({one.account_id for one in accounts}) < len(accounts):
            raise Unexpected(BANK, "the bank lists two accounts under one number", ASK_A_PERSON)
        return accounts

    @property
    def lists_further_accounts(self) -> bool:
        """Returns whether `accounts` names further accounts: the server may not know the question for them."""
        return ("Query", "getSubAccounts") not in self.fields.refused

    def transactions_page(self, account: Account, after: str | None = None, since: date | None = None) -> CursorPage:
        """Returns the newest page, or the one behind the cursor `after`. With `since` the server filters by day."""
        return self._filtered(account, after, _from(since))

    def first_pages(self, account: Account, since: date) -> tuple[CursorPage, CursorPage]:
        """Returns the newest page of all, and the newest page of the rows from `since` on, in one request."""
        whose = public_id(account.source_account_id)
        found = self._connections(whose, lambda: self.fields.first_pages(whose), {"after": None, "filter": _from(since)})
        return _page(_object(found, "newest")), _page(_object(found, "page"))

    def transaction(self, account: Account, held: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns one transaction by column, None where the bank does not show it any more. `held` is its last known version.

        There is no query for one row. So the rows of its Berlin day and amount are asked for, and its id is looked for among
        them. If it is not there, the newest page of the days around is asked for; of a reservation the newest page of all, as a
        filter by days may hide it. Two requests at most.
        """
        day, around = held["window_on"], None
        if held.get("valuta_date") is not None:
            around = _days(day - MAY_HAVE_MOVED, day + MAY_HAVE_MOVED)
        for passes in (_days(day, day) | {"amount_eq": held["amount_cents"]}, around):
            rows = self._filtered(account, None, passes).rows
            if held["source_transaction_id"] in rows.ids:
                columns: list[dict[str, Any]] = rows.batch.to_pylist()
                for one in columns:
                    if one["source_transaction_id"] == held["source_transaction_id"]:
                        return one
                raise Unexpected(BANK, "a transaction cannot be understood", ASK_A_PERSON)
        return None

    def standing_orders(self, account: Account) -> Orders:
        """Returns all standing orders. All lists of orders come in one request; only the main account has orders."""
        return self._orders("standing-orders", account)

    def timed_orders(self, account: Account) -> Orders:
        """Returns all timed orders that the server lists, and the transfers that are under way."""
        return self._orders("timed-orders", account)

    def missing_scopes(self, main: Account, wanted: Iterable[str] = PURPOSE) -> tuple[str, ...]:
        """Returns those of the scopes `wanted` that this login lacks: as the bank has named them, else by questions that read."""
        wanted = tuple(wanted)
        if self.tokens.granted is not None:
            return missing(self.tokens.granted, wanted)
        lacking: list[str] = []
        for ask in (self.transactions_page, *((self.standing_orders,) if ORDERS in wanted else ())):
            try:
                ask(main)
            except ScopeMissing as error:
                lacking += error.scopes
        return tuple(lacking)

    def _orders(self, kind: str, account: Account) -> Orders:
        nodes: list[Any] = []
        if public_id(account.source_account_id) is None:
            lists = self._order_lists.pop(account.account_id, None) if kind == "timed-orders" else None
            if lists is None:
                lists = read_order_lists(self.fields.order_lists(), self._order_pages)
                if kind == "standing-orders":
                    self._order_lists[account.account_id] = lists
            nodes = lists.standing if kind == "standing-orders" else lists.timed
        return replace(read_orders(kind, nodes, account), unknown_fields=frozenset())

    def _order_pages(self, after: dict[str, str | None]) -> dict[str, tuple[list[Any], str | None]]:
        found = self._connections(None, lambda: self.fields.orders(after), dict(after), needs=("accounts", "transfers"))
        return {name: _nodes(_object(found, name)) for name in self.fields.order_lists() if name in after}

    # ---- questions and answers

    def _filtered(self, account: Account, after: str | None, passes: dict[str, Any] | None) -> CursorPage:
        """Returns a page of the rows that pass the server's filter."""
        whose = public_id(account.source_account_id)
        found = self._connections(whose, lambda: self.fields.page(whose), {"after": after, "filter": passes})
        return _page(_object(found, "page"))

    def _connections(
        self,
        account: str | None,
        query: Callable[[], str],
        variables: dict[str, Any],
        *,
        needs: tuple[str, ...] = ("accounts", "transactions"),
    ) -> dict[str, Any]:
        if account == "":
            raise Unexpected(
                BANK, "the bank lists this account without a public id, by which it could be asked for", ASK_A_PERSON
            )
        data = self._data(query, variables | ({} if account is None else {"account": account}), needs)
        return data if account is not None else _object(_object(data, "viewer"), "mainAccount")

    def _data(self, query: Callable[[], str], variables: dict[str, Any], needs: tuple[str, ...]) -> dict[str, Any]:
        """Returns the data of an answer without errors. `query` is made anew when the server refuses an optional field.

        `needs` are the scopes without which the bank refuses the question.
        """
        waits = list(self.http.patience.waits)
        refused: str | None = None
        while True:
            authorization = self.tokens.authorization(refused=refused)
            try:
                answered = self._sent({"query": query(), "variables": variables}, authorization)
            except _Answered as answer:
                if answer.error.code == "403":
                    confirmed = self._confirmed or is_confirmed(authorization.removeprefix("Bearer "))
                    raise forbidden(self.tokens.granted, needs, confirmed=confirmed) from None
                if not waits or not isinstance(answer.error, Unavailable):
                    raise answer.error from None
                self.http.patience.sleep(waits.pop(0))
                continue
            if isinstance(answered, dict):
                return answered
            if answered is None:
                if refused is not None:
                    raise refusal(401)
                refused = authorization
            else:
                self.fields.refuse(answered)

    def _sent(self, body: dict[str, Any], authorization: str) -> dict[str, Any] | set[FieldName] | None:
        """Returns the data; the optional fields that the server does not know; or None where it does not accept the token."""
        answer = self.http.request(
            "POST", GRAPHQL, json=body, headers={"Authorization": authorization}, repeatable=AGAIN_LATER - {500}
        )
        if answer.status_code == 401:
            return None
        if answer.status_code == 403:
            raise _Answered(refusal(403))
        if answer.status_code not in _ANSWERED:
            json_bytes(answer)  # raises
            raise Unexpected(BANK, f"the bank answered {answer.status_code}", ASK_A_PERSON)
        try:
            content = _parsed(answer.content)
        except ValueError:
            if answer.status_code == 500:
                raise _Answered(refusal(500)) from None
            json_bytes(answer)  # a web page has its own words
            raise Unexpected(BANK, "the bank's answer is not whole, valid JSON", "Try again; " + ASK_A_PERSON.lower()) from None
        errors = content.get("errors")
        if errors is None and answer.status_code == 200:
            data: dict[str, Any] = _object(content, "data")
            return data
        errors = [one if isinstance(one, dict) else {} for one in errors] if isinstance(errors, list) else [{}]
        if any(_code(one) == 401 or one.get("message") == "Unauthorized" for one in errors):
            return None
        said = " ".join(str(one.get("message")) for one in errors)
        unknown = {(kind, name) for pattern in (_UNKNOWN_FIELD, _UNKNOWN_VALUE) for name, kind in pattern.findall(said)}
        if (unknown & OPTIONAL) - self.fields.refused:
            return unknown & OPTIONAL
        if unknown:
            raise Unexpected(BANK, "the bank does not know a field that a reader needs", ASK_A_PERSON)
        raise _Answered(_failure([code for one in errors if (code := _code(one))], answer.status_code))


def by_oauth(
    http: Http,
    login: Login,
    *,
    clock: Callable[[], float] = time.time,
    on_new_refresh_token: Callable[[str], None] | None = None,
    renewing: Callable[[], AbstractContextManager[str | None]] = nullcontext,
) -> QueryClient:
    """Returns a client whose login is by OAuth2; the arguments are those of `auth.Tokens`."""
    return QueryClient(http, OAuthTokens(http, login, clock=clock, on_new_refresh_token=on_new_refresh_token, renewing=renewing))


def _failure(codes: list[int], status: int) -> SourceError:
    """Returns the error that stands for the errors of an answer. What they say is not repeated: it may name a person."""
    known = [code for code in codes if 400 <= code < 600]
    if known:
        return refusal(403 if 403 in known else known[0])
    return refusal(500) if status == 500 else Unexpected(BANK, "the bank answers the query with an error", ASK_A_PERSON)


def _code(error: dict[str, Any]) -> int | None:
    extensions = error.get("extensions")
    code = extensions.get("status") if isinstance(extensions, dict) else None
    return code if type(code) is int else None


def _parsed(body: bytes) -> dict[str, Any]:
    """Returns a JSON object. A number with a fraction becomes its own text: money is never a float.

    Half a character, as a backend leaves it that cuts an emoji in two, is replaced. Raises `ValueError` for anything else.
    """
    try:
        if b"\\ud" in body.lower():
            text = json.dumps(json.loads(body, parse_float=str, parse_int=_whole, parse_constant=_refused), ensure_ascii=False)
            body = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
        content = json.loads(body, parse_float=str, parse_int=_whole, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError("no object")  # noqa: TRY004 (it is about the value)
    return content


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


def _refused(name: str) -> Any:
    raise ValueError(name)


def _object(content: Any, name: str, *, or_none: bool = False) -> Any:
    found = content.get(name) if isinstance(content, dict) else None
    if isinstance(found, dict) or (or_none and found is None):
        return found
    raise _other_shape()


def _is_same_account(main: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether an entry of the further accounts is the main one: by public id, else (refused by the server) by IBAN."""
    name = "publicId" if main.get("publicId") else "iban"
    return bool(main.get(name)) and main.get(name) == other.get(name)


def _nodes(connection: dict[str, Any]) -> tuple[list[Any], str | None]:
    """Returns the nodes of a page and the cursor of the next one."""
    edges, info = connection.get("edges"), _object(connection, "pageInfo")
    if not isinstance(edges, list) or not isinstance(info.get("hasNextPage"), bool):
        raise _other_shape()
    following = info.get("endCursor") if info["hasNextPage"] else None
    if info["hasNextPage"] and not (isinstance(following, str) and following):
        raise Unexpected(BANK, "a page does not say where the next one begins", ASK_A_PERSON)
    return [edge.get("node") if isinstance(edge, dict) else None for edge in edges], following


def _page(connection: dict[str, Any]) -> CursorPage:
    nodes, following = _nodes(connection)
    return CursorPage(rows_of(nodes), following)


def _from(since: date | None) -> dict[str, str] | None:
    """Returns the filter for the rows from a Berlin day on."""
    return None if since is None else {"bookingDate_gte": _begins(since)}


def _days(first: date, last: date) -> dict[str, Any]:
    """Returns the filter for the rows of Berlin days, both included."""
    return {"bookingDate_gte": _begins(first), "bookingDate_lt": _begins(last + timedelta(days=1))}


def _begins(day: date) -> str:
    """Returns the moment at which a Berlin day begins, as the server writes it."""
    return datetime(day.year, day.month, day.day, tzinfo=BERLIN).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _other_shape() -> Unexpected:
    return Unexpected(BANK, "the bank's JSON has another shape than described", ASK_A_PERSON)
