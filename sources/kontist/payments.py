"""Kontist's payments: SEPA transfers, standing orders, timed orders. Nothing that reads may import this module.

Each is two steps: what is to be paid is registered, and carried out when the TAN from the customer's phone is sent after it
(vendor document). A bank may also carry it out at once, without a TAN; then the first answer says so. No request is ever
repeated, not even after a 401: a bank that did not answer may have paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from sources._errors import Rejected, SourceError, Unavailable, Unexpected, Unreached
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient
from sources.kontist.responses import ASK_A_PERSON, BANK, decoded, refusal
from sources.kontist.values import cents as whole_cents

Interval = Literal["MONTHLY", "QUARTERLY", "EVERY_SIX_MONTHS", "ANNUALLY"]
TAN_LENGTH = 6
"""Digits of a TAN where the bank does not say (every sample of the vendor document)."""
REGISTERED = ("CONFIRMATION_REQUIRED",)
CARRIED_OUT = ("ACCEPTED", "ACTIVE", "SCHEDULED", "CANCELED", "CANCELLED")
TAN_REFUSED = (400, 403, 422)
"""Statuses that say: not with this TAN, not with this payload. After any other one the bank may have paid: 404, 409 and 410 can
mean that the payment is confirmed already, 401, 425 and 429 can come from whoever stands before the bank."""
LOOK_FIRST = "Look at the bank's own app whether it was carried out, before anything is tried again"


class Uncertain(Unavailable):
    """The bank did not say whether it carried out the request. Only a look at the account shows it."""


@dataclass(frozen=True)
class Payment:
    """Who gets how much: `cents` is positive euro cents, `iban` in capitals without blanks. Shows neither in its repr."""

    recipient: str = field(repr=False)
    iban: str = field(repr=False)
    cents: int = field(repr=False)
    note: str | None = field(default=None, repr=False)
    e2e_id: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """Returns the body of the request, in euro cents."""
        return {
            "recipient": self.recipient,
            "iban": self.iban,
            "amount": self.cents,
            "note": self.note,
            "e2eId": self.e2e_id,
        }


@dataclass(frozen=True)
class Registered:
    """What the bank has taken down and not carried out: it waits for a TAN of `tan_length` digits.

    `deviations` lists where the bank repeats something else than it was sent: a person has to look before the TAN is sent.
    """

    method: str
    address: str = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    tan_field: str
    tan_length: int = TAN_LENGTH
    deviations: tuple[str, ...] = ()
    order_id: str | None = None
    """The order that the confirmation must name, if it names one. A transfer is named by its address instead."""


@dataclass(frozen=True)
class Done:
    """What the bank says to the last step; `status` in its words, in capitals (`ACCEPTED`, `ACTIVE`, `SCHEDULED`, `CANCELED`)."""

    status: str
    order_id: str | None = None


class Payments:
    """One account's payments. Raises `Rejected` when the bank refused, `Unreached` when nothing was sent, `Uncertain` when nobody
    knows, `Unexpected` for an answer that is not understood."""

    def __init__(self, client: KontistClient, account: Account) -> None:
        self._client = client
        self._root = f"/api/accounts/{quote(account.source_account_id, safe='')}"

    # ---- first step

    def transfer(self, payment: Payment) -> Registered | Done:
        """Registers a SEPA credit transfer."""
        body = payment.body()
        reply = self._sent("POST", f"{self._root}/transfer", body, REGISTERED + CARRIED_OUT)
        if (done := _carried_out(reply)) is not None:
            return done
        links, meta = reply.get("links"), reply.get("meta")
        own = links.get("self") if isinstance(links, dict) else None
        if not isinstance(own, str) or not own:
            raise Unexpected(BANK, "the bank does not say how the transfer is confirmed", "Nothing was paid")
        address = self._client.resolved(f"{self._root}/transfer", own)
        if not urlsplit(address).path.startswith(f"{self._root}/transfer/"):
            raise Unexpected(BANK, "the bank says that the transfer is confirmed elsewhere", "Nothing was paid")
        length = meta.get("authorizationTokenLength") if isinstance(meta, dict) else None
        return Registered(
            "PUT",
            address,
            body,
            "authorizationToken",
            length if type(length) is int and 0 < length < 20 else TAN_LENGTH,
            deviations(reply, payment),
        )

    def standing_order(
        self, payment: Payment, interval: Interval, first_on: date, last_on: date | None = None
    ) -> Registered | Done:
        """Registers a standing order: its first payment on `first_on`, the last no later than `last_on`."""
        body = payment.body() | {
            "reoccurrence": interval,
            "firstExecutionDate": moment(first_on),
            "lastExecutionDate": moment(last_on) if last_on else None,
        }
        reply = self._sent("POST", f"{self._root}/standing-orders", body, REGISTERED + CARRIED_OUT)
        return _carried_out(reply) or self._standing(reply, deviations(reply, payment))

    def change_standing_order(self, order_id: str, changes: Mapping[str, Any]) -> Registered | Done:
        """Registers a change of an active standing order, by the bank's names: `amount` (cents), `note`, `e2eId`, `reoccurrence`,
        `lastExecutionDate`."""
        reply = self._sent("PATCH", self._standing_address(order_id), dict(changes), REGISTERED + CARRIED_OUT)
        if (done := _carried_out(reply, order_id)) is not None:
            return done
        shown = reply.get("amount")
        other = "amount" in changes and shown is not None and shown != changes["amount"]
        return self._standing(reply, (_other_amount(shown),) if other else (), order_id)

    def cancel_standing_order(self, order_id: str) -> Registered | Done:
        """Registers the end of a standing order."""
        reply = self._sent("PATCH", f"{self._standing_address(order_id)}/cancel", None, REGISTERED + CARRIED_OUT)
        return _carried_out(reply, order_id) or self._standing(reply, (), order_id)

    def timed_order(self, payment: Payment, on: date) -> Registered | Done:
        """Registers a transfer that is carried out once, on a day to come."""
        body = payment.body() | {"date": moment(on)}
        reply = self._sent("POST", f"{self._root}/timed-orders", body, REGISTERED + CARRIED_OUT)
        if (done := _carried_out(reply)) is not None:
            return done
        scheduled = reply.get("scheduled_transaction")
        shown = scheduled if isinstance(scheduled, dict) else {}
        amount = shown.get("amount")
        repeated = {
            "recipient": shown.get("recipient_name"),
            "iban": shown.get("recipient_iban"),
            "amount": amount.get("value") if isinstance(amount, dict) and amount.get("unit") == "cents" else amount,
        }
        return self._timed(_text(reply, "id"), deviations(repeated, payment))

    def cancel_timed_order(self, order_id: str) -> Registered | Done:
        """Ends a timed order: at once, as the vendor document shows it, or after a TAN if the bank asks for one."""
        address = f"{self._root}/timed-orders/{quote(order_id, safe='')}/cancel"
        reply = self._sent(
            "PATCH",
            address,
            None,
            ("CANCELED", "CANCELLED", *REGISTERED),
            refused=("the bank refuses to cancel this order", "Nothing was cancelled. Look at the order in the bank's own app"),
            nothing="Nothing was cancelled",
        )
        return _carried_out(reply, order_id) or self._timed(order_id, ())

    # ---- second step

    def confirm(self, registered: Registered, tan: str) -> Done:
        """Sends the TAN, and with it exactly what was registered (vendor document). From here on money moves.

        A confirmation that names another order than the registered one is `Uncertain`.
        """
        body = {**registered.body, registered.tan_field: tan}
        reply = self._sent(
            registered.method,
            registered.address,
            body,
            CARRIED_OUT,
            refused=(
                "the bank does not accept the TAN, or not with this payment",
                "Nothing was paid. Begin again, with a new TAN",
            ),
            refusals=TAN_REFUSED,
        )
        links = reply.get("links")
        own = links.get("self") if isinstance(links, dict) else None
        if registered.method == "PUT" and own is not None and _last_part(own) != _last_part(registered.address):
            raise Uncertain(BANK, "the bank's confirmation names another transfer", LOOK_FIRST)
        return _done(reply, registered.order_id)

    # ---- how

    def _standing_address(self, order_id: str) -> str:
        return f"{self._root}/standing-orders/{quote(order_id, safe='')}"

    def _standing(self, reply: Mapping[str, Any], odd: tuple[str, ...], order_id: str | None = None) -> Registered:
        body = {"requestId": _text(reply, "requestId")}
        address = f"{self._root}/standing-orders/confirm"
        return Registered("POST", address, body, "authorizationToken", deviations=odd, order_id=order_id)

    def _timed(self, order_id: str, odd: tuple[str, ...]) -> Registered:
        address = f"{self._root}/timed-orders/{quote(order_id, safe='')}/confirm"
        return Registered("POST", address, {}, "token", deviations=odd, order_id=order_id)

    def _sent(
        self,
        method: str,
        address: str,
        body: Any,
        expected: tuple[str, ...],
        *,
        refused: tuple[str, str] = ("the bank refuses this payment", "Nothing was paid"),
        nothing: str = "Nothing was paid",
        refusals: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """Returns the reply, if it is an object with an `expected` status. One request, whatever happens.

        The bank may carry out what was asked at each step, so only a request that never left and a plain refusal are reported as
        `nothing`. `refused` is what a refusal means, and what to do then; `refusals` are the statuses that are one, and without
        them every status from 400 to 499 but 408.
        """
        try:
            headers = {"Accept": "application/json", "Authorization": self._client.tokens.authorization()}
        except SourceError as error:  # no login, so the request itself was never sent
            raise _unpaid(error, nothing) from None
        try:
            answer = self._client.http.request(method, address, headers=headers, json=body, repeatable=False)
        except Unreached as error:
            raise _unpaid(error, nothing) from None
        except SourceError as error:  # no answer in time, half of one, a redirect: it may have been done all the same
            raise Uncertain(BANK, error.cause, LOOK_FIRST, code=error.code) from None
        status = answer.status_code
        if status in refusals if refusals else 400 <= status < 500 and status != 408:
            if status in (401, 404, 429):
                raise _unpaid(refusal(status), nothing)
            raise Rejected(BANK, *refused, code=str(status))
        if not answer.is_success:
            raise Uncertain(BANK, f"the bank answered {status}", LOOK_FIRST, code=str(status))
        try:
            reply: dict[str, Any] = decoded(answer.content, dict[str, Any])
        except Unexpected as error:
            raise Uncertain(BANK, error.cause, LOOK_FIRST) from None
        shown = reply.get("status")
        if not isinstance(shown, str) or shown.upper() not in expected:
            raise Uncertain(BANK, "the bank names a state that no document describes", LOOK_FIRST)
        return reply


def _carried_out(reply: Mapping[str, Any], order_id: str | None = None) -> Done | None:
    """Returns the payment that the bank carried out with the first request already; None where it waits for a TAN."""
    return None if str(reply["status"]).upper() in REGISTERED else _done(reply, order_id)


def _done(reply: Mapping[str, Any], order_id: str | None) -> Done:
    """Returns the bank's last word about the order `order_id`. Raises `Uncertain` if it speaks of another one."""
    named = str(reply["id"]) if type(reply.get("id")) in (int, str) else None
    if order_id is not None and named not in (None, order_id):
        raise Uncertain(BANK, "the bank's confirmation names another order", LOOK_FIRST)
    return Done(str(reply["status"]).upper(), named or order_id)


def _last_part(address: Any) -> str:
    return str(address).rstrip("/").rpartition("/")[2]


def _unpaid(error: SourceError, nothing: str) -> SourceError:
    """Returns the same error, which also says that nothing came of it."""
    return type(error)(error.bank, error.cause, f"{nothing}. {error.next_step}", code=error.code)


def deviations(reply: Mapping[str, Any], payment: Payment) -> tuple[str, ...]:
    """Returns where the bank repeats something else than it was sent.

    The vendor document's own sample has such an amount: 1 for 1250.
    """
    found = []
    iban, recipient, amount = reply.get("iban"), reply.get("recipient"), reply.get("amount")
    if iban is not None and (not isinstance(iban, str) or "".join(iban.split()).upper() != payment.iban):
        found.append("the bank repeats another IBAN")
    if recipient is not None and recipient != payment.recipient:
        found.append("the bank repeats another recipient")
    if amount is not None and amount != payment.cents:
        found.append(_other_amount(amount))
    return tuple(found)


def _other_amount(amount: Any) -> str:
    shown = whole_cents(amount)
    return "the bank repeats another amount" + (
        f": {shown // 100}.{shown % 100:02d} EUR" if shown is not None and shown >= 0 else ""
    )


def moment(on: date) -> str:
    """Returns a day as the bank wants it: a moment that lies on this day in Berlin and in UTC."""
    return f"{on.isoformat()}T12:00:00.000Z"


def _text(reply: Mapping[str, Any], name: str) -> str:
    value = reply.get(name)
    if type(value) not in (str, int) or value == "":
        raise Unexpected(BANK, "the bank does not say how the order is confirmed", f"Nothing was paid. {ASK_A_PERSON}")
    return str(value)
