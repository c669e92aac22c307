"""Kontist's accounts, standing orders and timed orders as columns: short lists, read row by row.

Signs are kept as the bank writes them: standing orders positive, timed orders negative (vendor document).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from sources._columns import INSTANT, TEXT, WHOLE
from sources._errors import Unexpected
from sources._identity import account_id, normal_iban
from sources.kontist.columns import ACCOUNTS, STANDING_ORDERS, TIMED_ORDERS
from sources.kontist.responses import ASK_A_PERSON, BANK
from sources.kontist.values import cents, instant, json_text, text

_FIELDS = {
    "accounts": {"id": "source_account_id", "iban": "iban", "balance": "balance_cents", "accountType": "account_type"},
    "standing-orders": {
        "id": "order_id",
        "status": "status",
        "name": "name",
        "iban": "iban",
        "description": "description",
        "amount": "amount_cents",
        "e2eId": "e2e_id",
        "reoccurrence": "reoccurrence",
        "nextOccurrence": "next_occurrence",
        "lastExecutionDate": "last_execution_date",
    },
    "timed-orders": {
        "id": "order_id",
        "status": "status",
        "type": "type",
        "recipientName": "recipient_name",
        "recipientIban": "recipient_iban",
        "date": "date",
        "purpose": "purpose",
        "amount": "amount_cents",
        "e2eId": "e2e_id",
    },
}
_LIVE_FIELDS = {"availableBalance": "available_balance_cents", "bic": "bic", "name": "name"}
"""Fields of an account that the live service adds. One of the same name in REST is undescribed, and stays in `extra`."""
_SCHEMAS = {"accounts": ACCOUNTS, "standing-orders": STANDING_ORDERS, "timed-orders": TIMED_ORDERS}
NONE: Mapping[str, str] = MappingProxyType({})
_READ: dict[pa.DataType, Callable[[Any], Any]] = {TEXT: text, WHOLE: cents, INSTANT: instant}


@dataclass(frozen=True)
class Account:
    """One bank account. `row` has the columns of `ACCOUNTS` except those that are computed; `iban` is as the bank writes it."""

    account_id: str
    source_account_id: str
    row: Mapping[str, Any] = field(repr=False)
    unknown_fields: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Orders:
    """All orders of one kind that the bank lists for an account. `rows` has `account_id` and the bank's columns, without
    `import_id` and `row_version`; `rejected` are rows for quarantine: reason and the bank's row."""

    rows: pa.Table
    rejected: tuple[tuple[str, dict[str, Any]], ...] = field(default=(), repr=False)
    unknown_fields: frozenset[str] = frozenset()


def read_account(sent: Any, *, live: bool = False) -> Account:
    """Returns one entry of the list of accounts; `live`: of the live service's.

    Raises `Unexpected` if it has no id: then it can neither be asked for nor identified.
    """
    row, unknown = _row("accounts", sent, _LIVE_FIELDS if live else {}) if isinstance(sent, dict) else ({}, frozenset())
    number = row.get("source_account_id")
    if not number:
        raise Unexpected(BANK, "the list of accounts holds an entry without an id", ASK_A_PERSON)
    iban = normal_iban(row["iban"])
    ours = account_id(BANK, iban, "EUR") if iban else account_id(BANK, "number", number)
    return Account(ours, number, row, unknown)


def read_orders(kind: str, sent: list[Any], account: Account) -> Orders:
    """Returns the list behind `standing-orders` or `timed-orders`."""
    schema = orders_schema(kind)
    rows: list[dict[str, Any]] = []
    rejected: list[tuple[str, dict[str, Any]]] = []
    unknown: frozenset[str] = frozenset()
    for one in sent:
        if not isinstance(one, dict):
            rejected.append(("the row is not a JSON object", {"row": one}))
            continue
        row, new = _row(kind, one)
        unknown |= new
        if not row["order_id"]:
            rejected.append(("id is missing, or neither a whole number nor a text", one))
        elif row["amount_cents"] is None:
            rejected.append(("amount is not a whole number of cents", one))
        else:
            rows.append({"account_id": account.account_id, **row})
    columns = [pa.array([row[name] for row in rows], schema.field(name).type) for name in schema.names]
    return Orders(pa.Table.from_arrays(columns, schema=schema), tuple(rejected), unknown)


def orders_schema(kind: str) -> pa.Schema:
    """Returns the columns that `read_orders` delivers."""
    return pa.schema([one for one in _SCHEMAS[kind] if one.name not in ("import_id", "row_version")])


def _row(kind: str, sent: Mapping[str, Any], later: Mapping[str, str] = NONE) -> tuple[dict[str, Any], frozenset[str]]:
    """Returns the columns of one object, and the names of its fields that have none.

    What cannot be read goes to `extra` as well. A column of `later` is left out where empty, and so is no part of the version: it
    stays the one that was stored before there was such a column.
    """
    columns, schema = {**_FIELDS[kind], **later}, _SCHEMAS[kind]
    row: dict[str, Any] = {}
    extra = {name: value for name, value in sent.items() if name not in columns}
    unknown = frozenset(extra)
    for name, column in columns.items():
        value = sent.get(name)
        if name == "id":
            row[column] = str(value) if type(value) in (int, str) and value != "" else None
            continue
        row[column] = _READ[schema.field(column).type](value)
        if row[column] is None and value not in (None, ""):
            extra[name] = value
        if row[column] is None and name in later:
            del row[column]
    row["extra"] = json_text(extra) if extra else None
    return row, unknown
