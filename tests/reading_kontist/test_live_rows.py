"""One row of Kontist's live service as columns: memos, what only this dialect says, splits, and rows of any form."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.kontist.basket import Basket
from sources.kontist.memos import EVENTS
from sources.kontist.queries import rows_of
from tests.reading_kontist.fake_bank import MemorySpool

NODE: dict[str, Any] = {
    "id": "a-1",
    "amount": -100,
    "bookingDate": "2026-05-01T22:00:00.000Z",
    "valutaDate": "2026-05-01T22:00:00.000Z",
    "type": "CARD_TRANSACTION",
    "source": "SOLARIS",
}


MEMOS = [
    ({"source": "USER", "type": "EXTERNAL_TRANSACTION_CASH"}, "customer"),
    ({"source": "BACKOFFICE_MANUAL"}, "staff"),
    *(({"type": one, "valutaDate": None}, "event") for one in sorted(EVENTS)),
]


@pytest.mark.parametrize(("sent", "reason"), MEMOS)
def test_a_row_that_moves_no_money_at_the_bank_is_a_memo_and_in_no_sum(sent: dict[str, Any], reason: str) -> None:
    rows = rows_of([NODE, NODE | {"id": "a-2"} | sent, NODE | {"id": "a-3", "valutaDate": None}])
    assert (rows.refused, rows.unknown_fields) == ((), frozenset())
    assert rows.batch.column("memo").to_pylist() == [None, reason, None]
    assert rows.batch.column("booking_type").to_pylist() == ["CARD_TRANSACTION", sent.get("type", "CARD_TRANSACTION"), None]
    assert rows.batch.column("extra").to_pylist() == [None, None, None]
    basket = Basket(MemorySpool())
    basket.take(rows)
    sums = basket.sums()
    assert (sums.booked_since(None), sums.pending_on) == (-100, rows.days[2]), "only the first is booked, only the last reserved"


@pytest.mark.parametrize("sent", [{"source": None}, {"source": "PARTNER"}, {"type": "MYSTERY"}, {"source": 7}])
def test_a_row_of_a_kind_that_nobody_has_described_is_a_movement_and_is_reported(sent: dict[str, Any]) -> None:
    rows = rows_of([NODE | sent])
    assert rows.batch.column("memo").to_pylist() == [None]
    wanted = {f"{name} {value if isinstance(value, str) else 'another'}" for name, value in sent.items() if value}
    assert rows.unknown_fields == wanted


def test_what_only_the_live_service_says_has_columns_of_its_own() -> None:
    fees = [{"type": "ATM", "status": "CHARGED", "unitAmount": 250, "usedAt": None}, {"type": "A", "status": "CREATED"}]
    said = {
        "categoryCode": "OFFICE",
        "categorizationType": "USER",
        "vatCategoryCode": "OST19",
        "vatRate": "VAT_19",
        "personalNote": "paper",
        "description": "a purchase",
        "merchantCategoryCode": 5943,
        "merchantCountryCode": "DE",
        "recurlyInvoiceNumber": "R-1",
        "documentNumber": "12",
    }
    first, again = (rows_of([NODE | said | {"fees": order}]).batch.to_pylist()[0] for order in (fees, fees[::-1]))
    assert first == again, "the same fees in another order are the same row"
    assert first["fees"] == '[{"status":"CHARGED","type":"ATM","unitAmount":250},{"status":"CREATED","type":"A"}]'
    assert (first["vat_rate"], first["vat_category_code"], first["category_code"]) == ("VAT_19", "OST19", "OFFICE")
    assert (first["merchant_category_code"], first["merchant_country_code"]) == ("5943", "DE")
    assert (first["personal_note"], first["description"], first["invoice_number"]) == ("paper", "a purchase", "12")
    assert (first["categorization_type"], first["recurly_invoice_number"], first["extra"]) == ("USER", "R-1", None)


@pytest.mark.parametrize("valued", [None, ""])
def test_a_row_without_value_date_is_a_reservation_whatever_its_kind(valued: Any) -> None:
    (row,) = rows_of([NODE | {"valutaDate": valued}]).batch.to_pylist()
    assert (row["valuta_date"], row["booking_type"], row["type"]) == (None, None, NODE["type"])


SPLITS: list[Any] = [
    {"id": 12, "uuid": "b", "amount": -40, "category": None, "vatRate": "VAT_7"},
    {"id": 9, "uuid": "c", "amount": -50, "category": "VAT_19", "userSelectedBookingDate": None},
    {"id": 30, "uuid": "a", "amount": -10, "category": "PRIVATE"},
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_same_splits_are_the_same_text_in_whatever_order_and_with_whatever_numbers(order: tuple[int, ...]) -> None:
    shown = [dict(reversed(SPLITS[at].items())) | {"id": 1000 + SPLITS[at]["id"]} for at in order]
    rows = rows_of([NODE | {"splits": shown}, NODE | {"id": "a-2", "splits": []}])
    assert rows.batch.column("splits").to_pylist() == [
        '[{"amount":-50,"category":"VAT_19","uuid":"c"},'
        '{"amount":-40,"uuid":"b","vatRate":"VAT_7"},'
        '{"amount":-10,"category":"PRIVATE","uuid":"a"}]',
        None,
    ]
    assert rows.batch.column("extra").to_pylist() == [None, None]


@pytest.mark.parametrize("sent", ["two", {"amount": -100}, [1, {"amount": -100}], [[]]])
def test_splits_in_a_form_that_nobody_has_described_stay_beside(sent: Any) -> None:
    rows = rows_of([NODE | {"splits": sent}])
    assert rows.batch.column("splits").to_pylist() == [None]
    assert json.loads(rows.batch.column("extra").to_pylist()[0]) == {"splits": sent}


ANY = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.just({})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from([*NODE, "originalAmount", "splits", "strange"]), ANY) | ANY, max_size=4))
def test_whatever_a_row_holds_it_is_read_or_refused(changes: list[Any]) -> None:
    nodes = [NODE | {"id": f"x-{at}"} | one if isinstance(one, dict) else one for at, one in enumerate(changes)]
    rows = rows_of(nodes)
    assert rows.batch.num_rows + len(rows.refused) >= len(rows.ids)
    assert all(type(one) is int for one in rows.batch.column("amount_cents").to_pylist())
    assert len({one for one in rows.ids if one is not None}) == len([one for one in rows.ids if one is not None])
