"""Downloads the pages of Kontist's list of transactions in the plainest way: bytes over kept connections, some at once."""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import local
from typing import Any
from urllib.parse import urlsplit

AT_ONCE = 16
ENVELOPE = "application/vnd.kontist.transactionlist.v2.1+json"


class Pages:
    """The pages of one login. No retries, no limits, no checks."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._address = urlsplit(url).netloc
        self._own = local()
        self.token = ""
        given = json.dumps({"email": email, "password": password}).encode()
        self.token = self._json("POST", "/api/user/auth-token", given)["token"]

    def accounts(self) -> list[int]:
        """Returns the ids of the accounts."""
        return [account["id"] for account in self._json("GET", "/api/accounts")]

    def first(self, account: int) -> bytes:
        """Returns the newest page of an account."""
        return self._get(f"/api/accounts/{account}/transactions?page=1")

    def all_of(self, account: int) -> Iterator[bytes]:
        """Yields every page of an account in order, `AT_ONCE` at a time."""
        first = self.first(account)
        yield first
        head = json.loads(first)
        pages = math.ceil(head["total"] / max(1, len(head["results"])))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            paths = (f"/api/accounts/{account}/transactions?page={number}" for number in range(2, pages + 1))
            yield from pool.map(self._get, paths)

    def _get(self, path: str) -> bytes:
        return self._send("GET", path)

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        return json.loads(self._send(method, path, body))

    def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = HTTPConnection(self._address)
        headers = {"Accept": ENVELOPE, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content: bytes = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the sandbox answers {answer.status} to {path}")
        return content
