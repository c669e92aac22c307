"""The queries to Kontist's live service, and its answers in the shape of the REST document.

A field that the server does not know fails the whole query (observed). So a field that a reader can do without is left out when
the server has refused it, in this read or an earlier one.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from sources._columns import TEXT
from sources.kontist.memos import BANK_ROWS, MADE_BY, memo, undescribed
from sources.kontist.order_lists import KINDS, OPTIONAL_KINDS
from sources.kontist.refused_fields import FieldName, RefusedFields
from sources.kontist.rows import Rows, each_once, read_rows
from sources.kontist.values import json_text, splits_text, text

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
    "Account": ("publicId", "bic", "name", "availableBalance"),
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
OBJECTS = {"fees": "TransactionFee", "splits": "TransactionSplit"}
"""Fields of a transaction that hold objects, by the type of these."""
_SAME = (
    *("id", "amount", "type", "category", "name", "iban", "purpose", "e2eId", "bookingDate", "valutaDate", "foreignCurrency"),
    *("paymentMethod", "userSelectedBookingDate", "documentType", "mandateNumber"),
)
"""Fields of a transaction that REST calls the same."""
_COLUMNS: Mapping[str, str] = {
    "category_code": "categoryCode",
    "categorization_type": "categorizationType",
    "vat_category_code": "vatCategoryCode",
    "vat_rate": "vatRate",
    "personal_note": "personalNote",
    "description": "description",
    "merchant_category_code": "merchantCategoryCode",
    "merchant_country_code": "merchantCountryCode",
    "recurly_invoice_number": "recurlyInvoiceNumber",
}
"""Columns of texts that REST does not fill, and the fields that they come from."""
FURTHER = "further:"
"""Stands before a public id that is missing or a number, so that nobody takes it for the number of the main account."""


class Fields:
    """The fields that are asked for. `refused` are the optional ones that the server does not know."""

    def __init__(self) -> None:
        self.refused: set[FieldName] = set()
        self.learned: set[FieldName] = set()
        """Those that were refused in this read."""
        self._memory: RefusedFields | None = None

    def remember(self, memory: RefusedFields) -> None:
        """Leaves out what an earlier read has noted in `memory`, and notes there what is refused from now on."""
        self._memory = memory
        self.refused |= memory.known() & OPTIONAL

    def refuse(self, names: Iterable[FieldName]) -> None:
        """Leaves out fields that the server has refused."""
        names = set(names)
        self.learned |= names - self.refused
        self.refused |= names
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
            inner = self._of(OBJECTS[name]) if name in OBJECTS else ""
            if name not in OBJECTS or inner:
                shown.append(f"{name} {{ {inner} }}" if inner else name)
        return " ".join(shown)


def rows_of(nodes: list[Any]) -> Rows:
    """Returns transactions as columns, in the server's order. `unknown_fields` are kinds of rows that nobody has described."""
    taken = [_own_columns(node) for node in nodes]
    shown = [_as_rest(node, own.keys()) for node, own in zip(nodes, taken, strict=True)]
    rows = read_rows(json.dumps(shown, ensure_ascii=False).encode(), "")
    refused = {one.place for one in rows.refused}
    good = [own for place, own in enumerate(taken) if place not in refused]
    batch = rows.batch
    for name in (*_COLUMNS, "fees", "memo", "splits"):
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(at), pa.array([own.get(name) for own in good], TEXT))
    rows = replace(rows, batch=batch, unknown_fields=undescribed(nodes))
    return each_once(rows)


def _own_columns(node: Any) -> dict[str, str]:
    """Returns the columns of a transaction that REST does not fill, as far as they have a value that can be read."""
    if not isinstance(node, dict):
        return {}
    columns = {name: text(node.get(field)) for name, field in _COLUMNS.items()}
    columns |= {"memo": memo(node), "fees": _fees(node.get("fees")), "splits": splits_text(node.get("splits"))}
    return {name: value for name, value in columns.items() if value}


def _fees(sent: Any) -> str | None:
    """Returns fees as JSON text, in an order of their own: the same fees are the same text whatever order they come in."""
    if not isinstance(sent, list) or not sent:
        return None
    fees = ({name: value for name, value in one.items() if value is not None} if isinstance(one, dict) else one for one in sent)
    return f"[{','.join(sorted(json_text(one) for one in fees))}]"


def _as_rest(node: Any, columns: Collection[str]) -> Any:
    """Returns a transaction in the form of the REST document. Its other fields stand beside, but for what has `columns`."""
    if not isinstance(node, dict):
        return node
    sent = {name: node.get(name) for name in _SAME}
    # The kind of a row is there from the beginning; in REST it comes with the booking, and says that a row is booked.
    sent["bookingType"] = None if node.get("valutaDate") in (None, "") and "memo" not in columns else node.get("type")
    # The vendor's client called it so before; its values are the same.
    sent["invoiceNumber"] = node.get("documentNumber")
    elsewhere = sent.keys() | {"documentNumber"} | {_COLUMNS.get(name, name) for name in columns}
    others = {name: value for name, value in node.items() if name not in elsewhere and value not in (None, "", [])}
    if others.get("source") == BANK_ROWS or memo(node) in MADE_BY.values():
        others.pop("source", None)
    # The unit of `originalAmount` is not known here: it stays beside, as it was written (DECISIONS, "Kontist has two dialects").
    if "originalAmount" in others:
        others["originalAmountAsSent"] = str(others.pop("originalAmount"))
    return sent | others


def account_as_rest(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the main account in the form of the REST document."""
    return {"id": _whole(sent.get("id")), **{name: value for name, value in sent.items() if name != "id" and value is not None}}


def sub_account_as_rest(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a further account in the form of the REST document. It has no number, and a balance whose unit is not known.

    A public id that could be the number of the main account, and one that is missing, get a prefix: `public_id` takes it away.
    """
    own = sent.get("publicId")
    own = str(own) if own is not None else ""
    return {
        "id": own if own and not own.isdecimal() else f"{FURTHER}{own}",
        **{name: value for name, value in sent.items() if name != "publicId" and value is not None},
    }


def public_id(source_account_id: str) -> str | None:
    """Returns the public id of a further account, which is empty where the service names none; None for the main account."""
    return None if source_account_id.isdecimal() else source_account_id.removeprefix(FURTHER)


def _whole(number: Any) -> Any:
    """Returns the whole number that a Float holds; it comes as a whole number, or as the text of one with zeros behind."""
    if isinstance(number, str):
        digits, _, rest = number.partition(".")
        return int(digits) if digits.isascii() and digits.isdigit() and not rest.strip("0") else None
    return number
