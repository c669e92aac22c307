"""Every sample of the vendor document about payments, sent and understood to the letter."""

import json
from datetime import date
from typing import Any

import httpx
import pytest

from sources._errors import Rejected, SourceError, Unexpected, Unreached
from sources.kontist.payments import Done, Payment, Uncertain
from tests.pay.desk import RENT, answering

LUNCH = Payment("Karl Brenner", "DE89370400440532013000", 1250, "Thank you for paying my lunch")
SMITH = Payment("John Smith", "DE33100110012626008537", 12012, "Regular payment")
REGISTERED = {
    "status": "confirmation_required",
    "recipient": "Karl Brenner",
    "iban": "DE89370400440532013000",
    "amount": 1,
    "note": "Thank you for paying my lunch",
    "meta": {"authorizationTokenLength": 6},
    "links": {"self": "/api/accounts/4711/transfer/f55641811042b9e85989bd57c3718346ctrx"},
}
ACCEPTED = REGISTERED | {"status": "accepted", "amount": 1250}
STANDING = {
    "requestId": "92bf42e2eb6405f3a61babab43d623b1",
    "status": "CONFIRMATION_REQUIRED",
    "amount": 12012,
    "recipient": "John Smith",
    "iban": "DE33100110012626008537",
    "e2eId": None,
}
ACTIVE = {
    "id": 20,
    "status": "ACTIVE",
    "name": "John Smith",
    "iban": "DE33100110012626008537",
    "amount": 12012,
    "description": "Regular payment",
    "lastExecutionDate": None,
    "reoccurrence": "MONTHLY",
    "e2eId": "E-81359c56883b508cc891b2d466983e3a",
    "nextOccurrence": "2019-08-27T00:00:00.000+00:00",
}
CHANGED = {
    "requestId": "1568357736285",
    "status": "CONFIRMATION_REQUIRED",
    "amount": 500,
    "recipient": "John Smith",
    "iban": "DE33100110012626008537",
    "e2eId": "123456789",
}
CHANGES = {
    "amount": 500,
    "note": "Updated standing order",
    "reoccurrence": "QUARTERLY",
    "e2eId": "123456789",
    "lastExecutionDate": "2022-12-31T20:11:02.109Z",
}
UPDATED = {
    "id": 20,
    "status": "ACTIVE",
    "iban": "DE33100110012626008537",
    "name": "John Smith",
    "description": "Updated standing order",
    "amount": 500,
    "lastExecutionDate": "2022-12-31T20:11:02.109+00:00",
    "e2eId": "123456789",
    "reoccurrence": "QUARTERLY",
    "nextOccurrence": "2019-08-27T00:00:00.000+00:00",
}
CANCELING = {"requestId": "1568357935921", "status": "CONFIRMATION_REQUIRED"}
CANCELED = UPDATED | {"status": "CANCELED"}
TIMED_ID = "9939482a-b1a2-4cff-8b48-ae340e398659"


def timed(
    status: str, inner: str = "scheduled", number: str = "0230af41c289989f97715193772e229f", at: str = "14:32:11.426"
) -> dict[str, Any]:
    return {
        "id": TIMED_ID,
        "execute_at": "2019-08-27T12:00:00.000Z",
        "executed_at": None,
        "status": status,
        "scheduled_transaction": {
            "id": "04775196-a148-45ca-8f59-e3bb260a3f38",
            "status": inner,
            "reference": f"R-{number}",
            "description": "Bill payment",
            "recipient_iban": "DE33100110012626008537",
            "recipient_name": "John Smith",
            "recipient_bic": "",
            "end_to_end_id": f"E-{number}",
            "batch_id": None,
            "created_at": f"2019-08-26T{at}Z",
            "amount": {"value": 12012, "currency": "EUR", "unit": "cents"},
        },
    }


TIMED_CANCELED = timed("CANCELED", "canceled", "496ef67d09d9f725e66810d15336b595", "14:39:41.699")


def in_turn(*replies: Any) -> tuple[Any, list[httpx.Request], list[float]]:
    left = list(replies)
    found: tuple[Any, list[httpx.Request], list[float]] = answering(lambda _: httpx.Response(200, json=left.pop(0)))
    return found


def sent(request: httpx.Request) -> tuple[str, str, Any]:
    return request.method, request.url.path, json.loads(request.content) if request.content else None


def test_a_transfer_is_confirmed_with_exactly_what_was_registered() -> None:
    payments, asked, _ = in_turn(REGISTERED, ACCEPTED)
    registered = payments.transfer(LUNCH)
    assert (registered.tan_length, registered.deviations) == (6, ("the bank repeats another amount: 0.01 EUR",))
    assert payments.confirm(registered, "012345") == Done("ACCEPTED")

    body = {"recipient": "Karl Brenner", "iban": "DE89370400440532013000", "amount": 1250,
            "note": "Thank you for paying my lunch", "e2eId": None}  # fmt: skip
    assert [sent(one) for one in asked] == [
        ("POST", "/api/accounts/4711/transfer", body),
        ("PUT", "/api/accounts/4711/transfer/f55641811042b9e85989bd57c3718346ctrx", body | {"authorizationToken": "012345"}),
    ]


def test_a_standing_order_is_created_changed_and_cancelled() -> None:
    payments, asked, _ = in_turn(STANDING, ACTIVE, CHANGED, UPDATED, CANCELING, CANCELED)
    created = payments.standing_order(SMITH, "MONTHLY", date(2019, 8, 27))
    assert created.deviations == ()
    assert payments.confirm(created, "749245") == Done("ACTIVE", "20")
    changed = payments.change_standing_order("20", CHANGES)
    assert changed.deviations == ()
    assert payments.confirm(changed, "123953") == Done("ACTIVE", "20")
    assert payments.confirm(payments.cancel_standing_order("20"), "472948") == Done("CANCELED", "20")

    confirm = "/api/accounts/4711/standing-orders/confirm"
    assert [sent(one) for one in asked] == [
        ("POST", "/api/accounts/4711/standing-orders",
         SMITH.body() | {"reoccurrence": "MONTHLY", "firstExecutionDate": "2019-08-27T12:00:00.000Z", "lastExecutionDate": None}),
        ("POST", confirm, {"requestId": "92bf42e2eb6405f3a61babab43d623b1", "authorizationToken": "749245"}),
        ("PATCH", "/api/accounts/4711/standing-orders/20", CHANGES),
        ("POST", confirm, {"requestId": "1568357736285", "authorizationToken": "123953"}),
        ("PATCH", "/api/accounts/4711/standing-orders/20/cancel", None),
        ("POST", confirm, {"requestId": "1568357935921", "authorizationToken": "472948"}),
    ]  # fmt: skip


def test_a_timed_order_is_created_and_cancelled() -> None:
    payments, asked, _ = in_turn(timed("CONFIRMATION_REQUIRED"), timed("SCHEDULED"), TIMED_CANCELED)
    created = payments.timed_order(SMITH, date(2019, 8, 27))
    assert created.deviations == ()
    assert payments.confirm(created, "931434") == Done("SCHEDULED", TIMED_ID)
    assert payments.cancel_timed_order(TIMED_ID) == Done("CANCELED", TIMED_ID)

    assert [sent(one) for one in asked] == [
        ("POST", "/api/accounts/4711/timed-orders", SMITH.body() | {"date": "2019-08-27T12:00:00.000Z"}),
        ("POST", f"/api/accounts/4711/timed-orders/{TIMED_ID}/confirm", {"token": "931434"}),
        ("PATCH", f"/api/accounts/4711/timed-orders/{TIMED_ID}/cancel", None),
    ]


def test_a_bank_that_wants_a_tan_to_cancel_a_timed_order_gets_one() -> None:
    payments, asked, _ = in_turn(timed("CONFIRMATION_REQUIRED"), timed("CANCELED", "canceled"))
    assert payments.confirm(payments.cancel_timed_order(TIMED_ID), "931434") == Done("CANCELED", TIMED_ID)
    assert sent(asked[1])[1].endswith("/confirm")


# ---- what the bank repeats


@pytest.mark.parametrize(
    ("reply", "doubt"),
    [
        ({"iban": "DE33100110012626008537"}, "another IBAN"),
        ({"iban": 17}, "another IBAN"),
        ({"recipient": "Karl Brennerr"}, "another recipient"),
        ({"amount": 12500}, "another amount: 125.00 EUR"),
        ({"amount": "1250"}, "another amount"),
        ({"amount": 12.5}, "another amount"),
    ],
)
def test_what_the_bank_repeats_otherwise_is_a_deviation(reply: dict[str, Any], doubt: str) -> None:
    payments, _, _ = in_turn(ACCEPTED | {"status": "confirmation_required"} | reply)
    (found,) = payments.transfer(LUNCH).deviations
    assert doubt in found


def test_what_the_bank_does_not_repeat_is_no_deviation() -> None:
    payments, _, _ = in_turn({"status": "CONFIRMATION_REQUIRED", "links": {"self": "/api/accounts/4711/transfer/x"}})
    assert payments.transfer(LUNCH).deviations == ()


def test_an_iban_may_be_repeated_in_groups() -> None:
    payments, _, _ = in_turn(ACCEPTED | {"status": "confirmation_required", "iban": "de89 3704 0044 0532 0130 00"})
    assert payments.transfer(LUNCH).deviations == ()


# ---- answers that are none


@pytest.mark.parametrize(
    "link",
    [None, 17, "", "https://evil.test/api/accounts/4711/transfer/x", "/api/accounts/4712/transfer/x",
     "/api/accounts/4711/standing-orders/x", "//evil.test/api/accounts/4711/transfer/x"],
)  # fmt: skip
def test_a_transfer_is_confirmed_at_its_own_address_only(link: Any) -> None:
    payments, asked, _ = in_turn(REGISTERED | {"links": {"self": link}})
    with pytest.raises(Unexpected):
        payments.transfer(LUNCH)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(400, json={"title": "secret"}), Rejected, "Nothing was paid"),
        (httpx.Response(403, json={"title": "secret"}), Rejected, "TAN"),
        (httpx.Response(422, json={"title": "secret"}), Rejected, "Nothing was paid"),
        (httpx.Response(401), Uncertain, "bank's own app"),
        (httpx.Response(404), Uncertain, "bank's own app"),
        (httpx.Response(409), Uncertain, "bank's own app"),
        (httpx.Response(410), Uncertain, "bank's own app"),
        (httpx.Response(418), Uncertain, "bank's own app"),
        (httpx.Response(425), Uncertain, "bank's own app"),
        (httpx.Response(429, headers={"Retry-After": "1"}), Uncertain, "bank's own app"),
        (
            httpx.Response(200, json=ACCEPTED | {"links": {"self": "/api/accounts/4711/transfer/other"}}),
            Uncertain,
            "bank's own app",
        ),
        (httpx.Response(301, headers={"Location": "/"}), Uncertain, "bank's own app"),
        (httpx.Response(303, headers={"Location": "https://secret.test/"}), Uncertain, "bank's own app"),
        (httpx.Response(304), Uncertain, "bank's own app"),
        (httpx.Response(307, headers={"Location": "/"}), Uncertain, "bank's own app"),
        (httpx.Response(500, text="secret"), Uncertain, "bank's own app"),
        (httpx.Response(503), Uncertain, "bank's own app"),
        (httpx.Response(408), Uncertain, "bank's own app"),
        (httpx.Response(200, html="<html>secret</html>"), Uncertain, "bank's own app"),
        (httpx.Response(200, json=[]), Uncertain, "bank's own app"),
        (httpx.Response(200, json={"status": "secret"}), Uncertain, "bank's own app"),
        (httpx.Response(200, json={}), Uncertain, "bank's own app"),
        (httpx.Response(204), Uncertain, "bank's own app"),
    ],
)
def test_the_last_step_is_sent_once_whatever_comes_back(answer: httpx.Response, error: type[SourceError], words: str) -> None:
    payments, asked, slept = answering(lambda one: answer if one.method == "PUT" else httpx.Response(200, json=REGISTERED))
    registered = payments.transfer(LUNCH)
    with pytest.raises(error, match=words) as caught:
        payments.confirm(registered, "012345")
    assert (len(asked), slept) == (2, [])
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, Uncertain) == ("Nothing was paid" not in str(caught.value))


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refused_cancellation_speaks_of_no_tan(status: int) -> None:
    payments, _, _ = answering(lambda _: httpx.Response(status))
    with pytest.raises(Rejected, match="Nothing was cancelled") as caught:
        payments.cancel_timed_order(TIMED_ID)
    assert "TAN" not in str(caught.value)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.ReadTimeout("slow"), Uncertain),
        (httpx.RemoteProtocolError("gone"), Uncertain),
        (httpx.ConnectError("no route"), Unreached),
        (httpx.ConnectTimeout("no route"), Unreached),
    ],
)
@pytest.mark.parametrize("step", ["POST", "PUT"])
def test_a_connection_that_fails_is_never_tried_again(failure: httpx.HTTPError, error: type[SourceError], step: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == step:
            raise failure
        return httpx.Response(200, json=REGISTERED)

    payments, asked, slept = answering(answer)
    with pytest.raises(error) as caught:
        payments.confirm(payments.transfer(LUNCH), "012345")
    assert (len(asked), slept) == (1 if step == "POST" else 2, [])
    assert ("nothing was paid" in str(caught.value).lower()) == (error is Unreached)
    assert ("bank's own app" in str(caught.value)) == (error is Uncertain)


@pytest.mark.parametrize(
    ("register", "registered", "confirmed"),
    [
        (lambda bank: bank.cancel_standing_order("20"), CANCELING, CANCELED | {"id": 21}),
        (lambda bank: bank.change_standing_order("20", CHANGES), CHANGED, UPDATED | {"id": "21"}),
        (
            lambda bank: bank.timed_order(SMITH, date(2019, 8, 27)),
            timed("CONFIRMATION_REQUIRED"),
            timed("SCHEDULED") | {"id": "1"},
        ),
    ],
)
def test_a_confirmation_that_names_another_order_ends_as_not_known(register: Any, registered: Any, confirmed: Any) -> None:
    payments, asked, _ = in_turn(registered, confirmed)
    with pytest.raises(Uncertain, match="names another order"):
        payments.confirm(register(payments), "012345")
    assert len(asked) == 2


def test_a_cancellation_that_names_another_order_ends_as_not_known() -> None:
    payments, _, _ = in_turn(timed("CANCELED"))
    with pytest.raises(Uncertain, match="names another order"):
        payments.cancel_timed_order("another")


def test_a_payment_shows_neither_name_nor_iban_nor_amount_in_its_repr() -> None:
    payments, _, _ = in_turn(REGISTERED)
    for shown in (repr(RENT), repr(payments.transfer(LUNCH))):
        assert not any(secret in shown for secret in ("Vermieterin", "Brenner", "3000", "85", "1250"))
