"""The queries to Kontist's live service, and its answers in the shape of the REST document.

A field that the server does not know fails the whole query (observed). So a field that a reader can do without is left out when
the server has refused it, in this read or an earlier one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from sources._columns import TEXT
from sources.kontist.order_lists import KINDS, OPTIONAL_KINDS
from sources.kontist.refused_fields import FieldName, RefusedFields
from sources.kontist.rows import Refused, Rows, each_once, read_rows
from sources.kontist.values import splits_text

PAGE = 50
"""Rows of a page: the server's most."""

_PLAIN: Mapping[str, tuple[str, ...]] = {
    "Account": ("id", "iban", "balance"),
    "SubAccount": ("publicId", "iban"),
    "Transaction": ("id", "amount", "bookingDate", "valutaDate", "type", "source"),
    "Transfer": ("id", "iban", "recipient", "amount", "status", "executeAt", "nextOccurrence", "reoccurrence"),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "Query": ("getSubAccounts",),
    "Account": ("publicId", "bic", "name"),
    "SubAccount": ("name", "status"),
    "Transaction": (
        *("name", "iban", "purpose", "e2eId", "category", "foreignCurrency", "paymentMethod", "userSelectedBookingDate"),
        *("documentType", "mandateNumber", "originalAmount", "description", "personalNote", "categoryCode", "vatCategoryCode"),
        *("vatRate", "categorizationType", "documentNumber", "recurlyInvoiceNumber", "merchantCategoryCode"),
        *("merchantCountryCode", "fees", "splits"),
    ),
    "TransactionFee": ("type", "status", "unitAmount", "usedAt"),
    "TransactionSplit": (
        *("id", "uuid", "amount", "category", "categoryCode", "vatCategoryCode", "vatRate", "userSelectedBookingDate"),
    ),
    "Transfer": ("uuid", "purpose", "e2eId", "lastExecutionDate", "reference", "personalNote", "category"),
}
OPTIONAL: frozenset[FieldName] = frozenset((kind, name) for kind, names in _OPTIONAL.items() for name in names) | OPTIONAL_KINDS
_OBJECTS = {"fees": "TransactionFee", "splits": "TransactionSplit"}
_SAME = (
    *("id", "amount", "type", "category", "name", "iban", "purpose", "e2eId", "bookingDate", "valutaDate", "foreignCurrency"),
    *("paymentMethod", "userSelectedBookingDate", "documentType", "mandateNumber"),
)
"""Fields of a transaction that REST calls the same."""
EVENTS = frozenset({"FAILED_CARD_USAGE", "VERIFICATION_CODE"})
"""Kinds of rows that move no money (names of the vendor's client)."""


class Fields:
    """The fields that are asked for. `refused` are the optional ones that the server does not know."""

    def __init__(self) -> None:
        self.refused: set[FieldName] = set()
        self._memory: RefusedFields | None = None

    def remember(self, memory: RefusedFields) -> None:
        """Leaves out what an earlier read has noted in `memory`, and notes there what is refused from now on."""
        self._memory = memory
        self.refused |= memory.known() & OPTIONAL

    def refuse(self, names: Iterable[FieldName]) -> None:
        """Leaves out fields that the server has refused."""
        self.refused |= set(names)
        if self._memory is not None:
            self._memory.add(names)

    def accounts(self) -> str:
        """Returns the query for all accounts."""
        others = "" if ("Query", "getSubAccounts") in self.refused else f" getSubAccounts {{ {self._of('SubAccount')} }}"
        return f"query {{ viewer {{ mainAccount {{ {self._of('Account')} }} }}{others} }}"

    def page(self, account: str | None) -> str:
        """Returns the query for a page of transactions: of the main account, or of the one with this public id."""
        return self._within(account, f"page: transactions({self._asked(account)}) {self._page()}")

    def first_pages(self, account: str | None) -> str:
        """Returns the query for two pages: the newest rows, and those that pass the filter."""
        whose = "" if account is None else ", publicId: $account"
        both = (
            f"newest: transactions(first: {PAGE}{whose}) {self._page()} page: transactions({self._asked(account)}) {self._page()}"
        )
        return self._within(account, both)

    def order_lists(self) -> list[str]:
        """Returns the names of the lists of orders that the server has."""
        return [name for name, kind in KINDS.items() if ("TransferType", kind) not in self.refused]

    def orders(self, names: Iterable[str]) -> str:
        """Returns the query for a page of each list of orders in `names` that the server has."""
        asked = [name for name in self.order_lists() if name in set(names)]
        node = f"{{ edges {{ node {{ {self._of('Transfer')} }} }} pageInfo {{ hasNextPage endCursor }} }}"
        lists = " ".join(f"{name}: transfers(type: {KINDS[name]}, first: {PAGE}, after: ${name}) {node}" for name in asked)
        variables = ", ".join(f"${name}: String" for name in asked)
        return f"query ({variables}) {{ viewer {{ mainAccount {{ {lists} }} }} }}"

    def _within(self, account: str | None, connections: str) -> str:
        variables = "$after: String, $filter: TransactionFilter"
        if account is None:
            return f"query ({variables}) {{ viewer {{ mainAccount {{ {connections} }} }} }}"
        return f"query ({variables}, $account: String) {{ {connections} }}"

    def _asked(self, account: str | None) -> str:
        return f"first: {PAGE}, after: $after, filter: $filter" + ("" if account is None else ", publicId: $account")

    def _page(self) -> str:
        return f"{{ edges {{ node {{ {self._of('Transaction')} }} }} pageInfo {{ hasNextPage endCursor }} }}"

    def _of(self, kind: str) -> str:
        names = [name for name in _OPTIONAL.get(kind, ()) if (kind, name) not in self.refused]
        shown = []
        for name in (*_PLAIN.get(kind, ()), *names):
            inner = self._of(_OBJECTS[name]) if name in _OBJECTS else ""
            if name not in _OBJECTS or inner:
                shown.append(f"{name} {{ {inner} }}" if inner else name)
        return " ".join(shown)


def rows_of(nodes: list[Any]) -> Rows:
    """Returns transactions as columns, in the server's order.

    A row that the customer has typed (`source: USER`) and an event are no movements at the bank: they are refused, and so stand
    in quarantine and in no balance.
    """
    memos = {place: reason for place, node in enumerate(nodes) if (reason := _no_movement(node))}
    shown = json.dumps([_as_rest(node) for node in nodes], ensure_ascii=False).encode()
    rows = _with_splits(replace(read_rows(shown, ""), unknown_fields=frozenset()), nodes)
    if memos:
        kept = {id_ for place, id_ in enumerate(rows.ids) if place not in memos}
        places = [at for at, id_ in enumerate(rows.batch.column("source_transaction_id").to_pylist()) if id_ in kept]
        refused = [one for one in rows.refused if one.place not in memos]
        refused += [Refused(place, reason, nodes[place]) for place, reason in memos.items()]
        rows = replace(rows, batch=rows.batch.take(places), refused=tuple(sorted(refused, key=lambda one: one.place)))
    return each_once(rows)


def _with_splits(rows: Rows, nodes: list[Any]) -> Rows:
    """Returns the rows with the splits that they have: REST has no such column."""
    refused = {one.place for one in rows.refused}
    splits = [
        splits_text(node.get("splits")) if isinstance(node, dict) else None
        for place, node in enumerate(nodes)
        if place not in refused
    ]
    at = rows.batch.schema.get_field_index("splits")
    return replace(rows, batch=rows.batch.set_column(at, rows.batch.schema.field(at), pa.array(splits, TEXT)))


def _no_movement(node: Any) -> str | None:
    """Returns why a row is none of the bank's movements; None where it is one."""
    if not isinstance(node, dict):
        return None
    if node.get("source") == "USER":
        return "the customer has typed this row: it is no movement at the bank"
    return "the row is an event: it moves no money" if node.get("type") in EVENTS else None


def _as_rest(node: Any) -> Any:
    """Returns a transaction in the form of the REST document, its other fields beside."""
    if not isinstance(node, dict):
        return node
    sent = {name: node.get(name) for name in _SAME}
    # The kind of a row is there from the beginning; in REST it comes with the booking, and says that a row is booked.
    sent["bookingType"] = None if node.get("valutaDate") is None else node.get("type")
    others = {name: value for name, value in node.items() if name not in sent and value not in (None, "", [])}
    if others.get("source") == "SOLARIS":
        del others["source"]
    if splits_text(others.get("splits")):
        del others["splits"]
    # The unit of `originalAmount` is not known here: it stays beside, as it was written (DECISIONS, "Kontist has two dialects").
    if "originalAmount" in others:
        others["originalAmountAsSent"] = str(others.pop("originalAmount"))
    return sent | others


def account_as_rest(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the main account in the form of the REST document."""
    return {"id": _whole(sent.get("id")), **{name: value for name, value in sent.items() if name != "id" and value is not None}}


def sub_account_as_rest(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a further account in the form of the REST document. It has no number, and a balance whose unit is not known."""
    return {
        "id": sent.get("publicId"),
        **{name: value for name, value in sent.items() if name != "publicId" and value is not None},
    }


def _whole(number: Any) -> Any:
    """Returns the whole number that a Float holds; it comes as a whole number, or as the text of one with zeros behind."""
    if isinstance(number, str):
        digits, _, rest = number.partition(".")
        return int(digits) if digits.isascii() and digits.isdigit() and not rest.strip("0") else None
    return number
