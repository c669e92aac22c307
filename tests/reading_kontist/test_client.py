"""The reading endpoints besides the list of transactions, and what is said of answers that are none."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sources._errors import Misconfigured, Rejected, SourceError, Unavailable, Unexpected
from sources.kontist.columns import ACCOUNTS, STANDING_ORDERS, TIMED_ORDERS
from sources.kontist.rows import read_rows
from tests.reading_kontist.fake_bank import ACCOUNT, FakeBank, row

STANDING = [
    {
        "id": 20,
        "status": "CANCELED",
        "iban": "DE33100110012626008537",
        "name": "John Smith",
        "description": "Updated standing order",
        "amount": 500,
        "lastExecutionDate": "2022-12-31T20:11:02.109+00:00",
        "e2eId": "123456789",
        "reoccurrence": "QUARTERLY",
        "nextOccurrence": "2019-08-27T00:00:00.000+00:00",
    },
    {
        "id": 6,
        "status": "ACTIVE",
        "iban": "DE35120300001012765235",
        "name": "John Doe",
        "description": "Donation",
        "amount": 100,
        "lastExecutionDate": None,
        "e2eId": "E-f36e4f7e16f95f5960ec9fe00d3c00502",
        "reoccurrence": "MONTHLY",
        "nextOccurrence": "2019-10-01T00:00:00.000+00:00",
    },
]
TIMED = [
    {
        "id": "9939482a-b1a2-4cff-8b48-ae340e398659",
        "recipientName": "John Smith",
        "recipientIban": "DE33100110012626008537",
        "date": "2019-08-27T12:00:00.000Z",
        "purpose": "Bill payment",
        "amount": -12012,
        "e2eId": "E-d447d47fb16d5e0dffe7c7894cc643cf",
        "status": "scheduled",
        "type": "TIMED_ORDER",
    }
]


def bare(schema: Any) -> list[str]:
    return [name for name in schema.names if name not in ("import_id", "row_version")]


# ---- accounts


def test_the_documented_account_is_read_as_it_stands() -> None:
    documented = {"id": 4711, "iban": "DE06110101001000004444", "balance": 17325, "accountType": "solaris"}
    (account,) = FakeBank(accounts=[documented]).client().accounts()

    assert account.row == {
        "source_account_id": "4711",
        "iban": "DE06110101001000004444",
        "balance_cents": 17325,
        "account_type": "solaris",
        "extra": None,
    }
    of_the_live_service = {"available_balance_cents", "bic", "name"}
    assert {"account_id", *account.row} | of_the_live_service == set(bare(ACCOUNTS))


def test_an_account_is_known_by_its_iban_however_it_is_written() -> None:
    ibans = ["DE57999900000000004242", "de57 9999 0000 0000 0042 42"]
    one, other = (FakeBank(accounts=[{"id": n, "iban": iban}]).client().accounts()[0] for n, iban in enumerate(ibans))

    assert one.account_id == other.account_id
    assert (one.source_account_id, other.source_account_id) == ("0", "1")


@pytest.mark.parametrize("iban", [None, "", "DE00", 17])
def test_an_account_without_an_iban_is_known_by_its_number(iban: Any) -> None:
    accounts = FakeBank(accounts=[{"id": 1, "iban": iban}, {"id": "2", "iban": iban}]).client().accounts()

    assert len({one.account_id for one in accounts}) == 2
    assert accounts[0].account_id == FakeBank(accounts=[{"id": "1"}]).client().accounts()[0].account_id


def test_what_is_new_about_an_account_is_kept() -> None:
    (account,) = FakeBank(accounts=[{"id": 1, "bic": "X", "balance": "12.00", "iban": {"a": 1}}]).client().accounts()

    assert account.row["extra"] == '{"balance":"12.00","bic":"X","iban":{"a":1}}'
    assert account.row["balance_cents"] is None
    assert account.unknown_fields == {"bic"}


def test_an_account_shows_neither_iban_nor_balance_in_its_repr() -> None:
    (account,) = FakeBank([row(1, cents=17325)]).client().accounts()

    assert account.row["balance_cents"] == 17325
    assert "4242" not in repr(account)
    assert "17325" not in repr(account)


@pytest.mark.parametrize("sent", [[{}], [None], [{"id": None}], [{"id": True}], {}, "x", None])
def test_a_list_of_accounts_that_cannot_be_told_apart_is_unexpected(sent: Any) -> None:
    with pytest.raises(Unexpected):
        FakeBank(accounts=sent).client().accounts()


def test_two_accounts_with_one_iban_are_unexpected() -> None:
    twice = [{"id": 1, "iban": "DE57999900000000004242"}, {"id": 2, "iban": "DE57999900000000004242"}]

    with pytest.raises(Unexpected, match="two accounts"):
        FakeBank(accounts=twice).client().accounts()


# ---- orders and one transaction


def test_the_documented_standing_orders_are_read_as_they_stand() -> None:
    orders = FakeBank(orders={"standing-orders": STANDING}).client().standing_orders(ACCOUNT)
    canceled, active = orders.rows.to_pylist()

    assert orders.rows.schema.names == bare(STANDING_ORDERS)
    assert {one["account_id"] for one in (canceled, active)} == {ACCOUNT.account_id}
    assert (canceled["order_id"], canceled["status"], canceled["amount_cents"]) == ("20", "CANCELED", 500)
    assert canceled["last_execution_date"] == datetime(2022, 12, 31, 20, 11, 2, 109000, tzinfo=UTC)
    assert (active["reoccurrence"], active["extra"]) == ("MONTHLY", None)
    assert (orders.rejected, orders.unknown_fields) == ((), frozenset())


def test_the_documented_timed_order_is_read_as_it_stands() -> None:
    (order,) = FakeBank(orders={"timed-orders": TIMED}).client().timed_orders(ACCOUNT).rows.to_pylist()

    assert list(order) == bare(TIMED_ORDERS)
    assert (order["amount_cents"], order["recipient_name"], order["type"]) == (-12012, "John Smith", "TIMED_ORDER")
    assert order["date"] == datetime(2019, 8, 27, 12, tzinfo=UTC)


def test_no_orders_are_a_table_without_rows() -> None:
    orders = FakeBank(orders={"timed-orders": []}).client().timed_orders(ACCOUNT)

    assert (orders.rows.num_rows, orders.rows.schema.names) == (0, bare(TIMED_ORDERS))


def test_an_order_that_cannot_be_understood_does_not_touch_its_neighbours() -> None:
    money = {"value": 12012, "currency": "EUR", "unit": "cents"}
    sent = [7, TIMED[0] | {"amount": money}, TIMED[0] | {"id": None}, TIMED[0] | {"date": "soon", "fee": 1}]
    orders = FakeBank(orders={"timed-orders": sent}).client().timed_orders(ACCOUNT)

    assert [reason for reason, _ in orders.rejected] == [
        "the row is not a JSON object",
        "amount is not a whole number of cents",
        "id is missing, or neither a whole number nor a text",
    ]
    assert orders.rows["extra"].to_pylist() == ['{"date":"soon","fee":1}']
    assert orders.unknown_fields == {"fee"}


def test_one_transaction_has_the_lists_columns() -> None:
    client = FakeBank(orders={"905800": row(905800, cents=50433)}).client()

    assert client.transaction(ACCOUNT, "905800")["amount_cents"] == 50433
    with pytest.raises(Unexpected):
        FakeBank(orders={"1": row(1, cents="x")}).client().transaction(ACCOUNT, "1")
    with pytest.raises(Unexpected):
        FakeBank(orders={"1": row(2)}).client().transaction(ACCOUNT, "1")


def test_a_transaction_that_the_bank_does_not_know_is_none() -> None:
    assert asking(httpx.Response(404, json={"title": "Not Found"})).client().transaction(ACCOUNT, "1") is None


def test_an_address_that_is_no_bank_does_not_pass_for_a_transaction_that_is_gone() -> None:
    nowhere = FakeBank(instead=lambda _: httpx.Response(404, json={"title": "Not Found"}))
    for bank in (nowhere, asking(httpx.Response(404, html="<h1>Cannot GET</h1>"))):
        with pytest.raises(Misconfigured, match="does not know the address"):
            bank.client().transaction(ACCOUNT, "1")


def test_an_id_cannot_lead_to_another_address() -> None:
    bank = asking(httpx.Response(404))
    assert bank.client().transaction(ACCOUNT, "../../user?x=1") is None

    assert bank.asked[-1].url.raw_path == b"/api/accounts/4711/transactions/..%2F..%2Fuser%3Fx%3D1"


# ---- answers that are none


def asking(answer: httpx.Response) -> FakeBank:
    return FakeBank(instead=lambda one: answer if "/accounts" in one.url.path else None)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(200, html="<html>secret DE57</html>"), Unexpected, "web page"),
        (httpx.Response(200, html="secret: back soon"), Unexpected, "web page"),
        (httpx.Response(200, content=b"  <!doctype html>secret"), Unexpected, "web page"),
        (httpx.Response(200, content=b'[{"secret": '), Unexpected, "valid JSON"),
        (httpx.Response(200, content=b""), Unexpected, "valid JSON"),
        (httpx.Response(204), Unexpected, "valid JSON"),
        (httpx.Response(200, json={"secret": 1}), Unexpected, "another shape"),
        (httpx.Response(200, json=17), Unexpected, "another shape"),
        (httpx.Response(302, headers={"Location": "https://secret.test"}), Unexpected, "redirects"),
        (httpx.Response(400, json={"type": "secret", "title": "secret"}), Rejected, "status 400"),
        (httpx.Response(406, json={"detail": "secret"}), Rejected, "status 406"),
        (httpx.Response(404, json={"title": "secret"}), Misconfigured, "base_url"),
        (httpx.Response(403, json={"title": "secret"}), Rejected, "MFA"),
        (httpx.Response(500, html="<html>secret</html>"), Unavailable, "500"),
        (httpx.Response(520, json="secret"), Unavailable, "520"),
    ],
)
@pytest.mark.parametrize("what", ["accounts", "page", "orders"])
def test_an_answer_that_is_none_is_named_and_never_quoted(
    what: str, answer: httpx.Response, error: type[SourceError], words: str
) -> None:
    client = asking(answer).client()
    asks: dict[str, Any] = {
        "accounts": client.accounts,
        "page": lambda: client.transactions_page("/api/accounts/4711/transactions"),
        "orders": lambda: client.standing_orders(ACCOUNT),
    }
    with pytest.raises(error, match=words) as caught:
        asks[what]()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_page_without_results_is_unexpected() -> None:
    bodies: list[Any] = [{"next": None, "total": 0}, {"results": {}}, {"results": None}]
    for body in bodies:
        bank = asking(httpx.Response(200, json=body))
        with pytest.raises(Unexpected):
            read_rows(bank.client().transactions_page("/api/accounts/4711/transactions").rows, "4711")


def test_a_bank_that_asks_to_wait_is_waited_for() -> None:
    answers = [httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503)]
    bank = FakeBank(instead=lambda one: answers.pop(0) if answers and "/accounts" in one.url.path else None)

    assert len(bank.client().accounts()) == 1
    assert bank.slept == [7.0, 4.0]


def test_a_bank_that_is_asked_too_often_is_left_in_the_end() -> None:
    bank = asking(httpx.Response(429))

    with pytest.raises(Unavailable, match="too often"):
        bank.client().accounts()
    assert bank.slept == [1.0, 4.0]


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    class BreaksOff(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b"["
            raise httpx.RemoteProtocolError("peer closed connection")

    answers = [httpx.Response(200, stream=BreaksOff())]
    bank = FakeBank(instead=lambda one: answers.pop(0) if answers and "/accounts" in one.url.path else None)

    assert len(bank.client().accounts()) == 1
    assert bank.slept == [1.0]


def test_no_error_holds_a_piece_of_the_answer_or_of_the_login() -> None:
    sent = json.dumps([{"iban": "DE57999900000000004242", "id": None}])
    with pytest.raises(Unexpected) as caught:
        asking(httpx.Response(200, content=sent)).client().accounts()

    assert "4242" not in str(caught.value)
    assert "refresh-0" not in str(caught.value)


def test_a_bank_that_asks_for_a_long_pause_is_asked_nothing_else_meanwhile() -> None:
    bank = FakeBank(
        instead=lambda one: httpx.Response(429, headers={"Retry-After": "3600"}) if "accounts" in one.url.path else None
    )
    client = bank.client()
    with pytest.raises(Unavailable, match="too often"):
        client.accounts()
    asked = len(bank.asked)
    with pytest.raises(Unavailable, match="60 minutes are left"):
        client.standing_orders(ACCOUNT)
    assert (len(bank.asked), bank.slept) == (asked, [])
