"""Kontist's payments, as its vendor document says: registered first, carried out when the TAN of the text message comes back.

What the document does not say is decided here: a wrong order is 400, a TAN that is not the one that was sent is 403, and neither
changes anything. An order that waits for its TAN is forgotten when the bank ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..world.records import Account
from ..world.values import Dice, to_decimal
from ..world.world import World
from .orders import standing_orders, timed_orders
from .wire import Answer, Call, as_json, problem

INTERVALS = ("MONTHLY", "QUARTERLY", "EVERY_SIX_MONTHS", "ANNUALLY")
TAN_LENGTH = 6
_CHANGEABLE = {"amount": "amount", "note": "description", "e2eId": "e2eId", "reoccurrence": "reoccurrence"} | {
    "lastExecutionDate": "lastExecutionDate"
}


@dataclass
class _Waiting:
    """Registered, not confirmed."""

    account: Account
    tan: str
    sent: dict[str, Any] = field(default_factory=dict)
    done: Callable[[], dict[str, Any]] = dict


class Payments:
    """Everything that moves money, or will. Text messages with TANs go to `world.text_messages`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[str, _Waiting] = {}

    def answer(self, call: Call, account: Account, rest: list[str]) -> Answer | None:
        """Returns the answer to what comes behind `/api/accounts/{id}/`; None for what is not about payments."""
        match call.method, rest:
            case "POST", ["transfer"]:
                return self._transfer(call, account)
            case "PUT", ["transfer", number]:
                return self._confirm_transfer(call, account, number)
            case "POST", ["standing-orders"]:
                return self._standing_order(call, account)
            case "POST", ["standing-orders", "confirm"]:
                given = call.json()
                return self._confirm(account, given.get("requestId"), given.get("authorizationToken"))
            case "PATCH", ["standing-orders", number]:
                return self._change(call, account, number)
            case "PATCH", ["standing-orders", number, "cancel"]:
                return self._cancel_standing(account, number)
            case "POST", ["timed-orders"]:
                return self._timed_order(call, account)
            case "POST", ["timed-orders", number, "confirm"]:
                return self._confirm(account, number, call.json().get("token"))
            case "PATCH", ["timed-orders", number, "cancel"]:
                return self._cancel_timed(account, number)
        return None

    # ---- transfers

    def _transfer(self, call: Call, account: Account) -> Answer:
        sent = call.json()
        if fault := _fault(sent):
            return problem(400, fault)
        number = f"{self._digits(32)}ctrx"
        self._wait(number, account, sent)
        return as_json(self._transfer_reply(account, number, sent, "confirmation_required"))

    def _confirm_transfer(self, call: Call, account: Account, number: str) -> Answer:
        given, waiting = call.json(), self._waiting.get(number)
        if waiting is None or waiting.account is not account:
            return problem(404, "Not Found")
        tan = given.pop("authorizationToken", None)
        if given != waiting.sent:
            return problem(400, "the payload differs from the one that was registered")
        if tan != waiting.tan:
            return problem(403, "Invalid authorization token")
        del self._waiting[number]
        self._world.append(
            account,
            amount=to_decimal(-given["amount"]),
            party=given["recipient"],
            party_iban=given["iban"],
            description=given.get("note"),
        )
        return as_json(self._transfer_reply(account, number, given, "accepted"))

    def _transfer_reply(self, account: Account, number: str, sent: dict[str, Any], status: str) -> dict[str, Any]:
        return {
            "status": status,
            "recipient": sent["recipient"],
            "iban": sent["iban"],
            "amount": sent["amount"],
            "note": sent.get("note"),
            "meta": {"authorizationTokenLength": TAN_LENGTH},
            "links": {"self": f"/api/accounts/{account.number}/transfer/{number}"},
        }

    # ---- standing orders

    def _standing_order(self, call: Call, account: Account) -> Answer:
        sent = call.json()
        fault = _fault(sent) or (None if sent.get("reoccurrence") in INTERVALS else "reoccurrence is unknown")
        if fault or not isinstance(sent.get("firstExecutionDate"), str):
            return problem(400, fault or "firstExecutionDate is required")

        def done() -> dict[str, Any]:
            order = {
                "id": 100 + len(self._world.standing_orders),
                "status": "ACTIVE",
                "name": sent["recipient"],
                "iban": sent["iban"],
                "amount": sent["amount"],
                "description": sent.get("note"),
                "lastExecutionDate": sent.get("lastExecutionDate"),
                "reoccurrence": sent["reoccurrence"],
                "e2eId": sent.get("e2eId") or f"E-{self._digits(32)}",
                "nextOccurrence": f"{sent['firstExecutionDate'][:10]}T00:00:00.000+00:00",
            }
            self._world.standing_orders[account.key, order["id"]] = order
            return order

        named = {name: sent.get(name) for name in ("amount", "recipient", "iban", "e2eId")}
        return self._registered(account, done, named)

    def _change(self, call: Call, account: Account, number: str) -> Answer:
        order, sent = self._order(account, number), call.json()
        if order is None:
            return problem(404, "Not Found")
        if not sent or not sent.keys() <= _CHANGEABLE.keys() or order["status"] != "ACTIVE":
            return problem(400, "this cannot be changed")
        changed = order | {_CHANGEABLE[name]: value for name, value in sent.items()}
        named = {"amount": changed["amount"], "recipient": changed["name"], "iban": changed["iban"], "e2eId": changed["e2eId"]}
        return self._registered(account, lambda: self._kept(account, changed), named)

    def _cancel_standing(self, account: Account, number: str) -> Answer:
        order = self._order(account, number)
        if order is None or order["status"] != "ACTIVE":
            return problem(404 if order is None else 400, "there is no such active order")
        return self._registered(account, lambda: self._kept(account, order | {"status": "CANCELED"}), {})

    def _registered(self, account: Account, done: Callable[[], dict[str, Any]], named: dict[str, Any]) -> Answer:
        request_id = self._digits(32)
        self._wait(request_id, account, {}, done)
        return as_json({"requestId": request_id, "status": "CONFIRMATION_REQUIRED"} | named)

    def _order(self, account: Account, number: str) -> dict[str, Any] | None:
        shown = standing_orders(self._world, account)
        return next((order for order in shown if str(order["id"]) == number), None)

    def _kept(self, account: Account, order: dict[str, Any]) -> dict[str, Any]:
        self._world.standing_orders[account.key, order["id"]] = order
        return order

    # ---- timed orders

    def _timed_order(self, call: Call, account: Account) -> Answer:
        sent = call.json()
        fault = _fault(sent) or (None if isinstance(sent.get("date"), str) else "date is required")
        if fault:
            return problem(400, fault)
        text = self._digits(32)
        number = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
        listed = {
            "id": number,
            "recipientName": sent["recipient"],
            "recipientIban": sent["iban"],
            "date": f"{sent['date'][:10]}T12:00:00.000Z",
            "purpose": sent.get("note"),
            "amount": -sent["amount"],
            "e2eId": sent.get("e2eId") or f"E-{text}",
            "status": "scheduled",
            "type": "TIMED_ORDER",
        }

        def done() -> dict[str, Any]:
            self._world.timed_orders[account.key, number] = listed
            return _as_scheduled(listed, "SCHEDULED")

        self._wait(number, account, {}, done)
        return as_json(_as_scheduled(listed, "CONFIRMATION_REQUIRED"))

    def _cancel_timed(self, account: Account, number: str) -> Answer:
        """Cancels a timed order at once, without a TAN (vendor document)."""
        order = next((one for one in timed_orders(self._world, account) if one["id"] == number), None)
        if order is None:
            return problem(404, "Not Found")
        self._world.timed_orders[account.key, number] = None
        return as_json(_as_scheduled(order, "CANCELED"))

    # ---- TANs

    def _wait(
        self, number: str, account: Account, sent: dict[str, Any], done: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        tan = f"{Dice('tan', number).below(10**TAN_LENGTH):0{TAN_LENGTH}d}"
        self._world.text_messages.append(f"Your TAN is {tan}")
        self._waiting[number] = _Waiting(account, tan, sent, done or dict)

    def _confirm(self, account: Account, number: Any, tan: Any) -> Answer:
        waiting = self._waiting.get(number) if isinstance(number, str) else None
        if waiting is None or waiting.account is not account:
            return problem(404, "Not Found")
        if tan != waiting.tan:
            return problem(403, "Invalid authorization token")
        del self._waiting[str(number)]
        return as_json(waiting.done())

    def _digits(self, count: int) -> str:
        return f"{Dice('payment', len(self._world.text_messages), self._world.seed).below(16**count):0{count}x}"


def _fault(sent: dict[str, Any]) -> str | None:
    """Returns the fault of a payment, or None."""
    if not isinstance(sent.get("recipient"), str) or not sent["recipient"].strip():
        return "recipient is required"
    iban = sent.get("iban")
    if (
        not isinstance(iban, str)
        or not iban.isalnum()
        or int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 != 1
    ):
        return "iban is not valid"
    if type(sent.get("amount")) is not int or sent["amount"] < 1:
        return "amount must be a positive number of cents"
    return None


def _as_scheduled(listed: dict[str, Any], status: str) -> dict[str, Any]:
    """Returns a timed order as the answers to creating, confirming and cancelling show it.

    Names are in snake_case, amounts positive (vendor document).
    """
    return {
        "id": listed["id"],
        "execute_at": listed["date"],
        "executed_at": None,
        "status": status,
        "scheduled_transaction": {
            "id": listed["id"][::-1],
            "status": "canceled" if status == "CANCELED" else "scheduled",
            "reference": f"R-{listed['id'].replace('-', '')}",
            "description": listed["purpose"],
            "recipient_iban": listed["recipientIban"],
            "recipient_name": listed["recipientName"],
            "recipient_bic": "",
            "end_to_end_id": listed["e2eId"],
            "batch_id": None,
            "created_at": listed["date"],
            "amount": {"value": abs(listed["amount"]), "currency": "EUR", "unit": "cents"},
        },
    }
