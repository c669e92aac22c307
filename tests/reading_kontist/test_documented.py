"""The samples of the vendor document that no other test reads to the letter: its envelope, its single transaction, its tokens."""

import json

import httpx

from sources.kontist.auth import Login, expiry
from sources.kontist.client import first_page
from sources.kontist.rows import read_rows
from tests.reading_kontist.fake_bank import ACCOUNT, FakeBank, read
from tests.reading_kontist.test_rows import DOCUMENTED

REFRESH_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI2NjYxYjIyZC01NzRmLTQwOWMtYjRlYy03ZmJhOTQ1ZGYwYjkiLCJzY29wZSI6InJlZnJlc2giLCJp"
    "YXQiOjE1NTg0NTM5MzUsImV4cCI6MTU2MTA0NTkzNX0.jXGbFGKxGciGGwNXhgJz6R0nd_swniBHFSOul6V4kjY"
)
SINGLE = """{"id": 905800, "amount": 50433, "type": null, "category": null, "name": "Karl Lagerfeld",
    "iban": "DE35120300001012765235", "purpose": "E-16ab84e3177fdb4f692e02fd5b8ce808",
    "e2eId": "E-16ab84e3177fdb4f692e02fd5b8ce808", "bookingDate": "2018-08-06T22:00:00+00:00",
    "valutaDate": "2018-08-06T22:00:00+00:00", "bookingType": "SEPA_CREDIT_TRANSFER", "originalAmount": null,
    "foreignCurrency": null, "paymentMethod": "bank_account", "invoiceNumber": 12, "invoicePreviewUrl": "https:",
    "invoiceDownloadUrl": "https:", "userSelectedBookingDate": null, "documentType": null, "mandateNumber": null}"""


def test_the_documented_page_names_its_next_and_its_total() -> None:
    envelope = f'{{"next": "/api/accounts/4711/transactions?page=2", "total": 3, "results": {DOCUMENTED}}}'
    last = json.dumps({"next": None, "total": 3, "results": [json.loads(SINGLE) | {"id": 900000, "amount": -1}]})

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/transactions"):
            return None
        return httpx.Response(200, text=last if "page" in request.url.params else envelope)

    bank = FakeBank(instead=answer)
    page = bank.client().transactions_page(first_page(ACCOUNT))
    assert (page.next, page.total) == ("https://kontist.test/api/accounts/4711/transactions?page=2", 3)
    assert read(FakeBank(instead=answer))[1].ids == [912182, 905800, 900000]


def test_one_and_the_same_transaction_has_another_sign_in_the_list() -> None:
    single = FakeBank(orders={"905800": json.loads(SINGLE)}).client().transaction(ACCOUNT, "905800")
    listed = read_rows(DOCUMENTED.encode(), "4711").batch.to_pylist()[1]

    assert (single["amount_cents"], listed["amount_cents"]) == (50433, -50433)
    assert single | {"amount_cents": -50433, "invoice_number": None} == listed


def test_the_documented_login_gives_a_refresh_token_that_is_kept_and_used() -> None:
    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.startswith("/api/user/"):
            return None
        return httpx.Response(200, json={"token": REFRESH_TOKEN if request.url.path.endswith("/refresh-token") else "a"})

    bank = FakeBank(instead=answer, now=1558453935, auth_tokens={"a": 1558457535})
    assert len(bank.client(Login("YOUR_EMAIL", "YOUR_PASSWORD")).accounts()) == 1
    assert bank.kept == [REFRESH_TOKEN]
    first, second, third = bank.asked
    assert json.loads(first.content) == {"email": "YOUR_EMAIL", "password": "YOUR_PASSWORD"}
    assert second.headers["Authorization"] == f"Bearer {REFRESH_TOKEN}"
    assert third.headers["Authorization"] == "Bearer a"


def test_the_documented_refresh_token_says_that_it_lives_thirty_days() -> None:
    assert expiry(REFRESH_TOKEN) == 1558453935 + 30 * 24 * 3600
