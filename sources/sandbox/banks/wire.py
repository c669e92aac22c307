"""What is asked and what is answered, with nothing of sockets in it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from ..world.plans import Bank
from ..world.records import Account, Transaction

About = Literal["", "accounts", "page", "transaction", "orders", "token", "accepted", "result", "session", "catalog"]

GAP = "\0"
"""Stands for a long content while the short text around it is written. XML cannot hold it."""


@dataclass(slots=True)
class Call:
    """One request. Header names are in lower case; the body is as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def bank(self) -> Bank:
        return "kontist" if self.path.startswith("/api/") else "kontomatik"

    def form(self) -> dict[str, str]:
        """Fields of an `application/x-www-form-urlencoded` body; the first of each name."""
        fields: dict[str, str] = {}
        for name, value in parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True):
            fields.setdefault(name, value)
        return fields

    def json(self) -> dict[str, Any]:
        """Returns a JSON object, or an empty one if the body holds anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class Answer:
    """One response, and what it is about, so that a fault can pick its victims."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    about: About = ""
    account: Account | None = None
    page: int = 0
    sent: int | None = None
    """Bytes of the body that go out before the connection breaks; None sends all and keeps it open."""
    dropped: bool = False
    """The connection closes without a single byte."""


class Shown(NamedTuple):
    """What a bank shows of an account: rows newest first, and whether its import was cut short."""

    account: Account
    rows: list[Transaction]
    partial: bool = False


def as_json(content: object, status: int = 200, about: About = "") -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), about=about)


def problem(status: int, title: str) -> Answer:
    """Returns an error as RFC 7807 has it (observed)."""
    kind = title.lower().replace(" ", "-")
    answer = as_json({"type": f"https://api.kontist.com/problems/{kind}", "title": title, "status": status}, status)
    answer.content_type = "application/problem+json"
    return answer


def filled(answer: Answer, inside: Iterable[str]) -> bytes:
    """Returns the body of an answer with `GAP` in it, filled. Row by row: an import can be hundreds of megabytes."""
    head, _, tail = answer.body.partition(GAP.encode())
    return b"".join((head, *(piece.encode() for piece in inside), tail))


def as_xml(text: str, status: int = 200, about: About = "") -> Answer:
    document = f'<?xml version="1.0" encoding="utf-8"?>\n{text}'
    return Answer(status, document.encode(), "application/xml;charset=utf-8", about=about)
