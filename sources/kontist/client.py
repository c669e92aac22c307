"""Kontist's reading endpoints. Nothing here writes: no transfer, no order and no TAN is ever asked for.

Addresses and shapes are the vendor document's; where live answers were seen to differ, both are understood.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx
import msgspec

from sources._errors import Unexpected
from sources._http import Http
from sources.kontist.accounts import Account, Orders, read_account, read_orders
from sources.kontist.auth import Login, Tokens
from sources.kontist.responses import ASK_A_PERSON, BANK, decoded, is_web_page, json_bytes
from sources.kontist.rows import read_rows

TRANSACTION_LIST = "application/vnd.kontist.transactionlist.v2.1+json"
"""Sent to the letter: with another version the bank has answered in other shapes and with unsigned amounts (observed)."""


@dataclass(frozen=True)
class Page:
    """One page of transactions, newest first: a JSON array, where the next page is, and how many rows there are in all.

    `next` is None on the last page. `total` is None where the bank does not send it (an old, bare array).
    """

    rows: msgspec.Raw = field(repr=False)
    next: str | None
    total: int | None


class _Envelope(msgspec.Struct):
    results: msgspec.Raw
    next: Any = None
    total: Any = None


class KontistClient:
    """One login's view of the bank. Threads may share it.

    Every method raises `ConsentGone` when only a person can log in again, `Misconfigured`, `Rejected`, `Unavailable`, or
    `Unexpected` for an answer in a shape that no document describes.
    """

    def __init__(
        self,
        http: Http,
        login: Login,
        *,
        clock: Callable[[], float] = time.time,
        on_new_refresh_token: Callable[[str], None] | None = None,
        renewing: Callable[[], AbstractContextManager[str | None]] = nullcontext,
    ) -> None:
        self.http = http
        self.on_rows: Callable[[int, int, int | None], None] = lambda *_: None
        """Called with the pages and rows of an account that were read so far, and the number of its rows."""
        self.tokens = Tokens(http, login, clock=clock, on_new_refresh_token=on_new_refresh_token, renewing=renewing)

    def accounts(self) -> list[Account]:
        """Returns all accounts of the login, usually one. In euros: the bank names no currency (vendor document)."""
        accounts = [read_account(sent) for sent in decoded(self._get("/api/accounts"), list[Any])]
        if len({one.account_id for one in accounts}) < len(accounts):
            raise Unexpected(BANK, "the bank lists two accounts under one number", ASK_A_PERSON)
        return accounts

    def transactions_page(self, address: str) -> Page:
        """Returns the page at a path on the bank's host (`first_page`, then each page's `next`), as an envelope or a bare array.

        `next` comes back resolved: a path that starts with `/api` counts from the host, not from this page.
        """
        body = self._get(address, TRANSACTION_LIST)
        if body.lstrip()[:1] == b"[":
            return Page(decoded(body, msgspec.Raw), None, None)
        envelope: _Envelope = decoded(body, _Envelope)
        following = envelope.next or None
        if following is not None and not isinstance(following, str):
            raise Unexpected(BANK, "a page names its next one in a way that is no address", ASK_A_PERSON)
        total = envelope.total if type(envelope.total) is int else None
        return Page(envelope.results, self.resolved(address, following) if following else None, total)

    def transaction(self, account: Account, transaction_id: str) -> dict[str, Any] | None:
        """Returns one transaction by column, None where the bank does not know it (404): gone, or not this login's to see.

        Do not trust its sign: in the vendor document's own sample it differs from the list's. A 404 that is a web page comes
        from whoever does not know the address, and is the error that it is elsewhere.
        """
        answer = self._answer(f"{first_page(account)}/{quote(transaction_id, safe='')}")
        if answer.status_code == 404 and not is_web_page(answer):
            return None
        rows = read_rows(b"[" + json_bytes(answer) + b"]", account.source_account_id)
        if rows.batch.num_rows != 1 or rows.ids != (transaction_id,):
            raise Unexpected(BANK, "a transaction cannot be understood", ASK_A_PERSON)
        columns: dict[str, Any] = rows.batch.to_pylist()[0]
        return columns

    def standing_orders(self, account: Account) -> Orders:
        """Returns all standing orders, cancelled ones too. Amounts are positive cents (vendor document)."""
        return self._orders("standing-orders", account)

    def timed_orders(self, account: Account) -> Orders:
        """Returns the timed orders still to be executed. Amounts are negative cents (vendor document)."""
        return self._orders("timed-orders", account)

    def invalidate(self) -> bool:
        """Ends this login's tokens at the bank; False if they were gone already."""
        return self.tokens.invalidate()

    def _orders(self, kind: str, account: Account) -> Orders:
        path = f"/api/accounts/{quote(account.source_account_id, safe='')}/{kind}"
        return read_orders(kind, decoded(self._get(path), list[Any]), account)

    def _get(self, address: str, accept: str = "application/json") -> bytes:
        """Returns the JSON at an address."""
        return json_bytes(self._answer(address, accept))

    def _answer(self, address: str, accept: str = "application/json") -> httpx.Response:
        """Returns the answer of an address. A 401 costs one more request, with a fresh token; then it counts."""
        authorization = self.tokens.authorization()
        answer = self._send(address, accept, authorization)
        if answer.status_code == 401:
            answer = self._send(address, accept, self.tokens.authorization(refused=authorization))
        return answer

    def _send(self, address: str, accept: str, authorization: str) -> httpx.Response:
        return self.http.request("GET", address, headers={"Accept": accept, "Authorization": authorization})

    def resolved(self, address: str, following: str) -> str:
        """Returns `following` as an address on the bank's host that still is about the same account, or `Unexpected`."""
        here = self.http.url(address)
        try:
            there = self.http.url(urljoin(here, following))
            path = urlsplit(there).path
        except ValueError:
            raise Unexpected(BANK, "the bank's answer names an address that is none", ASK_A_PERSON) from None
        account = urlsplit(here).path.partition("/accounts/")[2].split("/")[0]
        if f"/accounts/{account}/" not in path:
            raise Unexpected(BANK, "the bank's answer names an address that is not about its account", ASK_A_PERSON)
        return there


def first_page(account: Account) -> str:
    """Returns the path of an account's newest transactions."""
    return f"/api/accounts/{quote(account.source_account_id, safe='')}/transactions"
