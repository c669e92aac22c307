"""Faults of Kontist's live service: errors inside an answer, pages that do not add up."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .bank import Fault
from .banks.wire import Answer, Call

if TYPE_CHECKING:
    from .bank import SandboxBank


@dataclass(eq=False)
class QueryError(Fault):
    """An error in the body, beside the data or (`keeps_data` False) instead of them."""

    times: int | None = field(default=1, kw_only=True)
    message: str = "Internal server error"
    code: int = 500
    status: int = 200
    keeps_data: bool = False

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        if not call.path.endswith("/graphql") or not self.take():
            return
        content = json.loads(answer.body)
        content["errors"] = [{"message": self.message, "extensions": {"status": self.code}}]
        content["data"] = content.get("data") if self.keeps_data else None
        answer.status, answer.body = self.status, json.dumps(content).encode()


@dataclass(eq=False)
class _SpoilsPage(Fault):
    """A page of transactions comes out wrong: the one with this number, counted from 1."""

    times: int | None = field(default=1, kw_only=True)
    page: int = 1
    _seen: int = field(default=0, init=False)

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        if answer.about != "page" or not call.path.endswith("/graphql"):
            return
        self._seen += 1
        if self._seen < self.page or not self.take():
            return
        content = json.loads(answer.body)
        for connection in _connections(content["data"]):
            self.spoil(connection)
        answer.body = json.dumps(content).encode()

    def spoil(self, connection: dict[str, Any]) -> None:
        raise NotImplementedError


class CursorLoop(_SpoilsPage):
    """A page that promises more, and names the beginning as the place where that is."""

    def spoil(self, connection: dict[str, Any]) -> None:
        connection["pageInfo"] |= {"hasNextPage": True, "endCursor": "OTk5OTk5OTk5OTow"}


class ReversedPage(_SpoilsPage):
    """A page whose rows stand oldest first."""

    def spoil(self, connection: dict[str, Any]) -> None:
        connection["edges"].reverse()


class LostEnd(_SpoilsPage):
    """A page that promises more and does not say where."""

    def spoil(self, connection: dict[str, Any]) -> None:
        connection["pageInfo"] |= {"hasNextPage": True, "endCursor": None}


@dataclass(eq=False)
class FractionOfACent(_SpoilsPage):
    """A page whose first amount is no whole number."""

    def spoil(self, connection: dict[str, Any]) -> None:
        connection["edges"][0]["node"]["amount"] += 0.5


def _connections(value: Any) -> list[dict[str, Any]]:
    """Returns every list of edges in an answer."""
    if not isinstance(value, dict):
        return []
    if "edges" in value:
        return [value]
    return [found for inner in value.values() for found in _connections(inner)]
