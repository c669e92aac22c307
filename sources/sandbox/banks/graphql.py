"""Kontist's live service: one address that answers queries by a schema, so that a wrong query fails as it would there.

The schema is in `kontist.graphql`. The status is 200 or 500 whatever happened; errors stand in the body (vendor's client).
An expired token is a 200 with the error `Unauthorized` (observed).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, build_schema, execute_sync, is_enum_type, parse, validate

from ..world.people import KONTIST_MAIN
from ..world.records import Account, Split, Transaction
from ..world.values import Dice
from ..world.world import World
from .oauth import scopes_of
from .orders import standing_orders, timed_orders, transfers
from .wire import About, Answer, Call, Shown, as_json

LONGEST_QUERY = 10_000
MOST_ROWS = 50
MOST_ERRORS = 3
_KINDS = {"CARD_TRANSACTION", "SEPA_CREDIT_TRANSFER", "SEPA_DIRECT_DEBIT", "SEPA_DIRECT_DEBIT_RETURN", "INTEREST_ACCRUED"}
_KINDS |= {"FAILED_CARD_USAGE", "VERIFICATION_CODE", "EXTERNAL_TRANSACTION_CASH"}
BANK = "SOLARIS"
"""The `source` of movements at the bank."""
_VAT_RATES = {"VAT_0", "VAT_7", "VAT_19"}
_FEE = {"type": "FOREIGN_TRANSACTION", "status": "CHARGED", "unitAmount": 25}


class GraphQl:
    """Answers `POST /api/graphql` of somebody who is known already."""

    def __init__(self, world: World, shown: Callable[[Account], Shown]) -> None:
        self.world = world
        self.lacks: set[str] = set()
        """Fields and values of the schema that this server does not know, as `Transaction.splits`."""
        self.account_is_open = True
        """False: there is no main account yet."""
        self.filter_hides_pending = False
        """Whether a filter by booking date leaves out rows that are not booked."""
        self._shown = shown

    def answer(self, call: Call, claims: dict[str, Any] | None) -> Answer:
        """Answers one query. `claims` are those of the access token, None where it is no good."""
        if claims is None:
            return _refused("Unauthorized", 401, "UnauthorizedError", status=200)
        if claims.get("confirmed") != "yes":
            return _refused("Forbidden", 403, "MFARequiredError")
        sent = call.json()
        query, variables = sent.get("query"), sent.get("variables")
        if not isinstance(query, str) or len(query) >= LONGEST_QUERY:
            return _refused("the query is missing or too long", 400, "BadRequestError")
        needed = {"accounts"} | ({"transactions"} if "transactions(" in query else set())
        if needed - set((scopes_of(claims) or "").split()):
            return _refused("Forbidden", 403, "ScopeError")
        try:
            document = _validated(query, frozenset(self.lacks))
        except GraphQLError as error:
            return _failed([error])
        root = {"viewer": self._viewer(claims), "getSubAccounts": self._sub_accounts, "transactions": self._by_public_id}
        result = execute_sync(_schema(frozenset(self.lacks)), document, root, variable_values=variables or {})
        if result.errors:
            return _failed(result.errors)
        about: About = "page" if "transactions(" in query else "orders" if "transfers(" in query else "accounts"
        return as_json({"data": _whole(result.data)}, about=about)

    # ---- what a customer has

    def _own(self) -> list[Account]:
        return [account for account in self.world.accounts if account.bank == "kontist"]

    def _viewer(self, claims: dict[str, Any]) -> dict[str, Any]:
        main = next(own for own in self._own() if own.iban == KONTIST_MAIN)
        granted = (scopes_of(claims) or "").split()
        account = {
            "id": float(main.number or 0),
            "publicId": public_id(main),
            "iban": main.iban,
            "bic": "KNTODE21XXX",
            "name": main.name,
            "balance": main.balance_cents,
            "availableBalance": main.available_cents,
            "createdAt": "2024-09-01T08:00:00.000Z",
            "transactions": lambda _, **asked: self._page(main, **asked),
            "transfers": lambda _, **asked: self._transfers(main, granted, **asked),
        }
        return {"id": "ada", "email": "ada@example.test", "mainAccount": account if self.account_is_open else None}

    def _sub_accounts(self, _: Any) -> list[dict[str, Any]]:
        return [
            {
                "publicId": public_id(own),
                "name": own.name,
                "iban": own.iban,
                "balance": own.balance_cents / 100,
                "createdAt": "2024-09-01T08:00:00.000Z",
                "status": "ACTIVE",
            }
            for own in self._own()
            if own.iban != KONTIST_MAIN and self.account_is_open
        ]

    def _by_public_id(self, _: Any, **asked: Any) -> dict[str, Any]:
        own = next((own for own in self._own() if public_id(own) == asked.get("publicId")), None)
        if own is None:
            raise GraphQLError("Account not found", extensions={"status": 404, "type": "NotFoundError"})
        return self._page(own, **asked)

    def _page(self, account: Account, **asked: Any) -> dict[str, Any]:
        sources = {id(row): source for row, source in self.world.memos if row.account is account}
        rows = list(self._shown(account).rows)
        if sources:
            rows += [row for row, _ in self.world.memos if row.account is account]
            rows.sort(key=_moment, reverse=True)
        rows = [row for row in rows if self._passes(row, sources.get(id(row), BANK), asked.get("filter") or {})]
        return _connection(rows, _moment, lambda row: self._transaction(row, sources.get(id(row), BANK)), asked)

    def _passes(self, row: Transaction, source: str, wanted: dict[str, Any]) -> bool:
        if self.filter_hides_pending and wanted and row.booked_on is None:
            return False
        at = row.at
        for name, value in wanted.items():
            field, _, test = name.rpartition("_")
            if field == "bookingDate":
                moment = datetime.fromisoformat(value)
                if not {"gt": at > moment, "gte": at >= moment, "lt": at < moment, "lte": at <= moment}[test]:
                    return False
            elif field == "amount":
                if row.cents != value:
                    return False
            elif (value == source) != (test == "eq"):
                return False
        return True

    def _transaction(self, row: Transaction, source: str) -> dict[str, Any]:
        booked = None if row.booked_on is None else _zulu(row.at)
        card = row.kind == "CARD_TRANSACTION" or row.original_currency is not None
        return {
            "id": uuid_of("transaction", row.id),
            "amount": row.cents,
            "bookingDate": _zulu(row.at),
            "valutaDate": booked,
            "createdAt": _zulu(row.at),
            "type": row.kind if row.kind in _KINDS else "OTHER",
            "source": source,
            "name": row.party,
            "iban": row.party_iban,
            "purpose": row.description,
            "e2eId": row.e2e_id,
            "mandateNumber": row.mandate,
            "paymentMethod": "credit_card" if card else "bank_account",
            "originalAmount": row.original_cents,
            "foreignCurrency": row.original_currency,
            "category": row.category,
            "documentNumber": None if row.invoice is None else str(row.invoice),
            "documentType": None if row.invoice is None else "INVOICE",
            "hasAssets": row.invoice is not None,
            "personalNote": self.world.notes.get(row.id),
            "merchantCategoryCode": "5411" if row.kind == "CARD_TRANSACTION" else None,
            "merchantCountryCode": "DE" if row.kind == "CARD_TRANSACTION" else None,
            "vatRate": row.category if row.category in _VAT_RATES else None,
            "fees": [] if row.original_currency is None else [_FEE],
            "splits": [_split(row, one) for one in reversed(row.splits)],
        }

    def _transfers(self, account: Account, granted: list[str], **asked: Any) -> dict[str, Any]:
        if "transfers" not in granted:
            raise GraphQLError("Forbidden", extensions={"status": 403, "type": "ScopeError"})
        orders = {"STANDING_ORDER": standing_orders, "TIMED_ORDER": timed_orders}.get(asked["type"])
        listed = transfers(self.world, account, asked["type"]) if orders is None else orders(self.world, account)
        numbered = list(enumerate(listed, 1))
        return _connection(numbered, lambda one: (-one[0], 0), lambda one: _transfer(one[1]), asked)


def public_id(account: Account) -> str:
    """Returns the name of an account that both kinds of accounts have."""
    return uuid_of("account", account.number)


def uuid_of(*key: object) -> str:
    """Returns the same UUID for the same key."""
    digits = f"{Dice('graphql', *key).below(2**128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _moment(row: Transaction) -> tuple[int, int]:
    return row.moment


def _connection(
    rows: Sequence[Any], key: Callable[[Any], tuple[int, int]], shown: Callable[[Any], dict[str, Any]], asked: dict[str, Any]
) -> dict[str, Any]:
    """Returns a page of rows that stand from the highest key to the lowest. A cursor is the key of a row."""
    first = asked.get("first", MOST_ROWS)
    if first is None or not 0 <= first <= MOST_ROWS:
        raise GraphQLError(f"first must be between 0 and {MOST_ROWS}", extensions={"status": 400, "type": "BadRequestError"})
    behind = list(rows)
    if asked.get("after") is not None:
        place = _place(asked["after"])
        behind = [row for row in rows if key(row) < place]
    page = behind[:first]
    edges = [{"cursor": _cursor(key(row)), "node": shown(row)} for row in page]
    ends = {"startCursor": edges[0]["cursor"], "endCursor": edges[-1]["cursor"]} if edges else {}
    more = {"hasNextPage": len(behind) > len(page), "hasPreviousPage": len(behind) < len(rows)}
    return {"edges": edges, "pageInfo": more | ends}


def _cursor(key: tuple[int, int]) -> str:
    return urlsafe_b64encode(f"{key[0]}:{key[1]}".encode()).decode()


def _place(cursor: str) -> tuple[int, int]:
    try:
        first, _, second = urlsafe_b64decode(cursor).decode().partition(":")
        return int(first), int(second)
    except ValueError:
        raise GraphQLError("Invalid cursor", extensions={"status": 400, "type": "BadRequestError"}) from None


def _split(row: Transaction, split: Split) -> dict[str, Any]:
    return {
        "id": row.id % 10**7 * 100 + split.number,
        "uuid": uuid_of("split", row.id, split.number),
        "amount": split.cents,
        "category": split.category,
        "vatRate": split.category if split.category in _VAT_RATES else None,
    }


def _transfer(order: dict[str, Any]) -> dict[str, Any]:
    """Returns an order of the REST document as the live service shows it: the amount is positive (vendor's samples)."""
    return {
        "id": str(order["id"]),
        "uuid": uuid_of("order", order["id"]),
        "recipient": order.get("name") or order.get("recipientName"),
        "iban": order.get("iban") or order.get("recipientIban"),
        "amount": abs(order["amount"]),
        "status": str(order["status"]).upper(),
        "purpose": order.get("description") or order.get("purpose"),
        "e2eId": order["e2eId"],
        "executeAt": order.get("date"),
        "lastExecutionDate": order.get("lastExecutionDate"),
        "nextOccurrence": order.get("nextOccurrence"),
        "reoccurrence": order.get("reoccurrence"),
    }


def _zulu(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _whole(value: Any) -> Any:
    """Returns the data as JavaScript writes them: it has no other way to write 4711.0 than 4711."""
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refused(message: str, code: int, kind: str, *, status: int = 500) -> Answer:
    return as_json({"errors": [{"message": message, "extensions": {"status": code, "type": kind}}], "data": None}, status)


def _failed(errors: Sequence[GraphQLError]) -> Answer:
    return as_json({"errors": [error.formatted for error in errors[:MOST_ERRORS]], "data": None}, 500)


@cache
def _schema(lacks: frozenset[str]) -> GraphQLSchema:
    schema = build_schema((Path(__file__).parent / "kontist.graphql").read_text(encoding="utf-8"))
    for name in lacks:
        kind, _, field = name.partition(".")
        of_kind: Any = schema.type_map[kind]
        del (of_kind.values if is_enum_type(of_kind) else of_kind.fields)[field]
    return schema


def words_of(enum: str) -> set[str]:
    """Returns the words of an enumeration of the schema."""
    of_kind: Any = _schema(frozenset()).type_map[enum]
    return set(of_kind.values)


@lru_cache(maxsize=64)
def _validated(query: str, lacks: frozenset[str]) -> DocumentNode:
    document = parse(query)
    for error in validate(_schema(lacks), document):
        raise error
    return document
