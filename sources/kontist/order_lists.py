"""Reads the lists of orders of Kontist's live service, all kinds in one request, and brings them into the form of REST.

A transfer that is under way is listed with the timed orders: it is an order of which the day has come. The service lists every
transfer ever made. Its order is not documented, and taken for newest first, as that of the transactions.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sources._errors import Unexpected
from sources.kontist.refused_fields import FieldName
from sources.kontist.responses import ASK_A_PERSON, BANK

KINDS = {
    "standing": "STANDING_ORDER",
    "timed": "TIMED_ORDER",
    "transfers": "SEPA_TRANSFER",
    "instant": "INSTANT_CREDIT_TRANSFER",
}
"""The lists, each by the service's name of its kind."""
_TRANSFERS = ("transfers", "instant")
OPTIONAL_KINDS: frozenset[FieldName] = frozenset(("TransferType", KINDS[name]) for name in _TRANSFERS)
"""Lists that a reader can do without."""
FINAL = frozenset({"BOOKED", "EXECUTED", "FAILED", "CANCELED", "CANCELLED", "INACTIVE"})
"""Statuses of a transfer that is not under way (any more), as is one without a status."""
TRANSFER_PAGES = 5
"""The most pages of transfers that are read. A page without a transfer under way is the last one."""

_NAMES = {
    "standing": {"recipient": "name", "purpose": "description"},
    "timed": {"recipient": "recipientName", "iban": "recipientIban", "executeAt": "date"},
}


@dataclass
class OrderLists:
    """All orders of the main account, in the form of the REST document. Amounts stay positive (vendor's samples)."""

    standing: list[Any] = field(default_factory=list)
    timed: list[Any] = field(default_factory=list)
    """The timed orders, then the transfers under way, which say their kind in `type`."""


Page = tuple[list[Any], str | None]
"""Nodes, and the cursor of the next page."""


def read_order_lists(names: Collection[str], ask: Callable[[dict[str, str | None]], dict[str, Page]]) -> OrderLists:
    """Reads the lists `names` to their ends, the transfers as long as a page shows one under way.

    `ask` returns a page of each list that it is given with its cursor. Raises `Unexpected` when the pages of a list go round in a
    circle, and what `ask` raises.
    """
    nodes: dict[str, list[Any]] = {name: [] for name in KINDS}
    to_ask: dict[str, str | None] = dict.fromkeys(names)
    seen: set[tuple[str, str]] = set()
    pages = 0
    while to_ask:
        found, pages = ask(to_ask), pages + 1
        to_ask = {}
        for name, (shown, following) in found.items():
            wanted = [one for one in shown if name not in _TRANSFERS or _is_under_way(one)]
            nodes[name] += wanted
            if following is None or (name in _TRANSFERS and (not wanted or pages >= TRANSFER_PAGES)):
                continue
            if (name, following) in seen or not shown:
                raise Unexpected(BANK, "the pages of a list go round in a circle", ASK_A_PERSON)
            seen.add((name, following))
            to_ask[name] = following
    return _as_rest(nodes)


def _is_under_way(node: Any) -> bool:
    status = node.get("status") if isinstance(node, dict) else "unknown"
    return not (status is None or (isinstance(status, str) and status.upper() in FINAL))


def _as_rest(nodes: dict[str, list[Any]]) -> OrderLists:
    known = {_name(one) for name in ("standing", "timed") for one in nodes[name]} - {None}
    lists = OrderLists(list(map(_standing, nodes["standing"])), list(map(_timed, nodes["timed"])))
    for name in _TRANSFERS:
        for one in nodes[name]:
            if not isinstance(one, dict):
                lists.timed.append(one)
            elif (uuid := _name(one)) is None or uuid not in known:  # a transfer may stand in two lists
                known |= {uuid} - {None}
                lists.timed.append(_timed(one) | {"id": _transfer_id(one), "type": KINDS[name]})
    return lists


def _name(node: Any) -> str | None:
    uuid = node.get("uuid") if isinstance(node, dict) else None
    return str(uuid) if type(uuid) in (int, str) else None


def _standing(node: Any) -> Any:
    return _renamed(node, _NAMES["standing"])


def _timed(node: Any) -> Any:
    return _renamed(node, _NAMES["timed"])


def _renamed(node: Any, names: dict[str, str]) -> Any:
    if not isinstance(node, dict):
        return node
    return {names.get(name, name): value for name, value in _shown(node.items())}


def _shown(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in items if value is not None and name != "uuid")


def _transfer_id(node: dict[str, Any]) -> Any:
    """Returns an id that no order has: it is not known whether transfers are numbered with the orders."""
    sent = node.get("uuid") or node.get("id")
    return f"transfer:{sent}" if type(sent) in (int, str) and sent != "" else None
