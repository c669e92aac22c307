"""What a transaction of the bank becomes."""

import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._errors import Unexpected
from sources.kontist import rows as rows_module
from sources.kontist.rows import SCHEMA, Rows, read_rows
from sources.kontist.values import berlin_day, instant
from tests.reading_kontist.fake_bank import row

DOCUMENTED = """[
    {"id": 912182, "amount": 659, "type": null, "category": null, "name": "Vae Zrniv4chmon1; St Louis; Fr", "iban": null,
     "purpose": null, "e2eId": null, "bookingDate": "2018-08-08T16:26:52+00:00", "valutaDate": null, "bookingType": null,
     "originalAmount": "760", "foreignCurrency": "CHF", "paymentMethod": "credit_card", "invoiceNumber": 12,
     "invoicePreviewUrl": "https:", "invoiceDownloadUrl": "https:", "userSelectedBookingDate": null, "documentType": null,
     "mandateNumber": null},
    {"id": 905800, "amount": -50433, "type": null, "category": null, "name": "Karl Lagerfeld",
     "iban": "DE35120300001012765235", "purpose": "E-16ab84e3177fdb4f692e02fd5b8ce808",
     "e2eId": "E-16ab84e3177fdb4f692e02fd5b8ce808", "bookingDate": "2018-08-06T22:00:00+00:00",
     "valutaDate": "2018-08-06T22:00:00+00:00", "bookingType": "SEPA_CREDIT_TRANSFER", "originalAmount": null,
     "foreignCurrency": null, "paymentMethod": "bank_account", "invoiceNumber": null, "invoicePreviewUrl": null,
     "invoiceDownloadUrl": null, "userSelectedBookingDate": null, "documentType": null, "mandateNumber": null}
]"""
OLD = """[{"id": 120, "from": 4711, "to": null, "pending_from": null, "amount": 500, "name": "Miete",
    "booking_date": "2016-12-16T00:00:00.000Z", "valuta_date": "2016-12-16T00:00:00.000Z", "booking_type":
    "SEPA_CREDIT_TRANSFER", "e2e_id": "NOTPROVIDED", "original_amount": null, "foreign_currency": null,
    "paymentMethod": "bank_account", "date": "2016-12-16T00:00:00.000Z"}]"""


def read(*sent: Any) -> Rows:
    return read_rows(json.dumps(sent).encode(), "4711")


def only(**changes: Any) -> dict[str, Any]:
    """The columns of one row that is usual but for `changes`."""
    rows = read(row(1) | changes)
    assert rows.refused == ()
    columns: dict[str, Any] = rows.batch.to_pylist()[0]
    return columns


def reason(**changes: Any) -> str:
    (refused,) = read(row(1) | changes).refused
    return refused.reason


def test_the_documented_page_is_read_as_it_stands() -> None:
    card, transfer = read_rows(DOCUMENTED.encode(), "4711").batch.to_pylist()

    assert card["source_transaction_id"] == "912182"
    assert card["amount_cents"] == 659  # the document's own slip: money out without its sign
    assert card["booking_date"] == datetime(2018, 8, 8, 16, 26, 52, tzinfo=UTC)
    assert (card["original_amount_minor"], card["foreign_currency"]) == (760, "CHF")
    assert (card["valuta_date"], card["booking_type"], card["invoice_number"]) == (None, None, "12")
    assert transfer["amount_cents"] == -50433
    assert transfer["window_on"] == date(2018, 8, 7)
    assert transfer["e2e_id"] == "E-16ab84e3177fdb4f692e02fd5b8ce808"
    assert card["extra"] is transfer["extra"] is None


def test_no_column_holds_a_signed_link() -> None:
    page = read(
        row(1, invoicePreviewUrl="https://signed", invoiceDownloadUrl="https://signed"), {"invoicePreviewUrl": "https://signed"}
    )

    assert "signed" not in str(page)


def test_an_old_row_gets_its_sign_and_its_new_names() -> None:
    (old,) = read_rows(OLD.encode(), "4711").batch.to_pylist()

    assert (old["amount_cents"], old["booking_type"], old["e2e_id"]) == (-500, "SEPA_CREDIT_TRANSFER", "NOTPROVIDED")
    assert old["window_on"] == date(2016, 12, 16)
    assert json.loads(old["extra"]) == {"date": "2016-12-16T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("sent", "cents"),
    [
        ({"amount": 500, "from": 4711, "to": None}, -500),
        ({"amount": -500, "from": 4711, "to": None}, -500),
        ({"amount": 500, "from": "4711"}, -500),
        ({"amount": -500, "to": 4711, "from": 12}, 500),
        ({"amount": 500, "pending_from": 4711}, -500),
        ({"amount": 500, "to": 4711, "pending_from": 4711}, 500),
        ({"amount": -500, "from": 12, "to": 13}, -500),
        ({"amount": 500, "from": None, "to": None}, 500),
        ({"amount": -500}, -500),
    ],
)
def test_a_direction_that_names_the_account_beats_the_sign(sent: dict[str, Any], cents: int) -> None:
    assert only(**sent)["amount_cents"] == cents


@pytest.mark.parametrize("amount", [1.0, 1.5, "100", None, True, [1], {"value": 1}, 10**15, -(10**15), 10**30])
def test_only_a_whole_number_is_an_amount(amount: Any) -> None:
    assert "amount" in reason(amount=amount)


def test_an_amount_with_an_exponent_is_refused() -> None:
    text = json.dumps([row(1)]).replace('"amount": 100', '"amount": 1e2')

    assert [one.reason for one in read_rows(text.encode(), "4711").refused] == ["amount is not a whole number of cents"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-08-06T22:00:00+00:00", datetime(2018, 8, 6, 22, tzinfo=UTC)),
        ("2018-08-06T22:00:00.000Z", datetime(2018, 8, 6, 22, tzinfo=UTC)),
        ("2018-08-07T00:00:00+02:00", datetime(2018, 8, 6, 22, tzinfo=UTC)),
        ("1570399200000", datetime(2019, 10, 6, 22, tzinfo=UTC)),
        (1570399200000, datetime(2019, 10, 6, 22, tzinfo=UTC)),
        ("2019-08-27T14:32:08.604Z", datetime(2019, 8, 27, 14, 32, 8, 604000, tzinfo=UTC)),
    ],
)
def test_every_observed_form_of_a_moment_is_read(text: Any, moment: datetime) -> None:
    assert only(bookingDate=text)["booking_date"] == moment


@pytest.mark.parametrize(
    "value",
    ["", None, "soon", "2026-03-20", "2026-03-20T10:00:00", "1570399200", 1570399200, 1.5e12, "20180808162652", True, [],
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", 10**40],
)  # fmt: skip
def test_a_row_without_a_readable_booking_moment_is_refused(value: Any) -> None:
    assert "bookingDate" in reason(bookingDate=value)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2018-08-06T22:00:00+00:00", "2018-08-07"),
        ("2021-11-21T23:00:00Z", "2021-11-22"),
        ("2021-11-21T22:59:59Z", "2021-11-21"),
        ("2016-12-16T00:00:00.000Z", "2016-12-16"),
        ("2026-03-29T00:59:59Z", "2026-03-29"),
    ],
)
def test_a_day_is_berlins(moment: str, day: str) -> None:
    assert only(bookingDate=moment)["window_on"] == date.fromisoformat(day)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30)))  # noqa: DTZ001 (made aware below)
def test_a_berlin_day_is_the_one_of_the_zones_own_rules(naive: datetime) -> None:
    from zoneinfo import ZoneInfo

    moment = naive.replace(tzinfo=UTC)
    micros = instant(moment.isoformat())

    assert micros is not None
    expected = moment.astimezone(ZoneInfo("Europe/Berlin")).date()
    assert berlin_day(micros) == (expected - date(1970, 1, 1)).days


def test_an_unreadable_value_date_does_not_make_a_row_pending() -> None:
    assert "valutaDate" in reason(valutaDate="soon")
    assert only(valutaDate="")["valuta_date"] is None


@pytest.mark.parametrize(("sent", "minor"), [("760", 760), ("-760", -760), (760, 760), (None, None), ("", None)])
def test_an_original_amount_is_in_minor_units(sent: Any, minor: int | None) -> None:
    columns = only(originalAmount=sent)

    assert (columns["original_amount_minor"], columns["extra"]) == (minor, None)


@pytest.mark.parametrize("sent", ["7.60", 7.6, 760.0, "seven", "--1", "1" * 18, [760], True, "٣"])
def test_an_original_amount_that_cannot_be_read_is_kept_as_it_is(sent: Any) -> None:
    columns = only(originalAmount=sent)

    assert columns["original_amount_minor"] is None
    assert json.loads(columns["extra"]) == {"originalAmount": sent}


def test_what_a_column_cannot_hold_is_kept_aside() -> None:
    columns = only(name={"first": "Ada"}, invoiceNumber=17, category=True, purpose=1.5, userSelectedBookingDate="soon", new=[1])

    assert (columns["name"], columns["invoice_number"], columns["category"], columns["purpose"]) == (None, "17", "true", "1.5")
    assert columns["extra"] == '{"name":{"first":"Ada"},"new":[1],"userSelectedBookingDate":"soon"}'


def test_unknown_fields_are_kept_and_named() -> None:
    page = read(row(1), row(2) | {"zeta": {"b": 1, "a": 2}, "alpha": "ü"})

    assert page.unknown_fields == {"alpha", "zeta"}
    assert page.batch["extra"].to_pylist() == [None, '{"alpha":"ü","zeta":{"a":2,"b":1}}']


def test_a_name_in_both_spellings_keeps_the_documented_one_and_loses_nothing() -> None:
    assert only(purpose="x", booking_type="OLD")["extra"] == '{"booking_type":"OLD"}'
    assert only(bookingType=None, booking_type="OLD")["booking_type"] == "OLD"


@pytest.mark.parametrize("name", [None, "", 1.5, True, [], {}])
def test_a_row_without_an_id_is_refused(name: Any) -> None:
    assert "id" in reason(id=name)


def test_a_text_id_is_an_id() -> None:
    assert only(id="a-b")["source_transaction_id"] == "a-b"


def test_a_refused_row_does_not_touch_its_neighbours() -> None:
    page = read(row(3), 5, row(2, amount="x"), None, row(1) | {"from": 4711, "to": 4711}, row(0))

    assert page.batch["source_transaction_id"].to_pylist() == ["3", "0"]
    assert [one.place for one in page.refused] == [1, 2, 3, 4]
    assert page.ids == ("3", None, "2", None, "1", "0")
    assert page.refused[0].payload == {"row": 5}


def test_half_a_character_spoils_nothing() -> None:
    text = json.dumps([row(1, purpose="PLACE"), row(2)]).replace("PLACE", r"Miete \ud83d")

    assert read_rows(text.encode(), "4711").batch["purpose"].to_pylist() == ["Miete �", "Rechnung 2"]


@pytest.mark.parametrize("body", [b"{}", b"null", b'"x"', b"[1,", b"[1] 2", b"", b"[NaN]", b"[" * 5000])
def test_anything_but_an_array_of_rows_is_unexpected(body: bytes) -> None:
    with pytest.raises(Unexpected):
        read_rows(body, "4711")


def test_a_byte_that_is_no_text_is_replaced() -> None:
    body = json.dumps([row(1, purpose="PLACE"), row(2)]).encode().replace(b"PLACE", b"Miete \xff")

    assert read_rows(body, "4711").batch["purpose"].to_pylist() == ["Miete �", "Rechnung 2"]


def test_an_empty_page_has_the_columns() -> None:
    assert read().batch.schema == SCHEMA


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
odd = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
moments = st.sampled_from(["2026-03-20T23:00:00+00:00", "2026-03-20T10:00:00.000Z", "1570399200000", "soon", None])
usual = {
    "id": st.integers(0, 9) | odd,
    "amount": st.integers(-(10**19), 10**19) | st.integers(-100, 100) | odd,
    "bookingDate": moments,
    "valutaDate": moments,
    "originalAmount": st.sampled_from([None, "760", "-1", "7.6", 760]) | odd,
}
rows_of_any_kind = st.fixed_dictionaries(
    {}, optional={name: usual.get(name, st.text(max_size=5) | odd) for name in row(1)}
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(rows_of_any_kind | odd, max_size=4))
def test_both_ways_of_reading_a_page_give_the_same(sent: list[Any]) -> None:
    body = json.dumps(sent).encode()
    fast = read_rows(body, "4711")
    slow = rows_module._columns(rows_module._one_by_one(body, "4711"))

    assert fast.batch.schema == SCHEMA
    fast.batch.validate(full=True)
    assert fast.batch.equals(slow.batch)
    assert (fast.ids, fast.days, fast.unknown_fields) == (slow.ids, slow.days, slow.unknown_fields)
    assert [(one.place, one.reason) for one in fast.refused] == [(one.place, one.reason) for one in slow.refused]
    assert len(fast.ids) == len(sent) == fast.batch.num_rows + len(fast.refused)


def test_the_documented_names_are_read_the_fast_way() -> None:
    assert msgspec.json.decode(DOCUMENTED, type=list[rows_module._Row])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000, "0." + "1" * 5_000])
@pytest.mark.parametrize("field", ["amount", "id", "originalAmount", "somethingNew"])
def test_a_number_beyond_any_column_costs_at_most_its_own_row(number: str, field: str) -> None:
    odd = f'{{"id": 1, "amount": 1, "bookingDate": "2026-03-01T23:00:00Z", "{field}": {number}}}'
    good = '{"id": 2, "amount": -499, "bookingDate": "2026-03-01T23:00:00Z"}'

    rows = read_rows(f"[{good},{odd}]".encode(), "4711")

    assert len(rows.ids) == 2
    assert rows.batch.column("amount_cents").to_pylist()[0] == -499
    assert rows.batch.num_rows + len(rows.refused) == 2
