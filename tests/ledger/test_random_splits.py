"""Whatever splits a bank shows, the legs of a movement sum to zero and to its amount, in both currencies."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.worlds import Given, built, needed

FIRST = datetime(2026, 3, 2, 12, tzinfo=UTC)
CATEGORIES = [None, "PRIVATE", "VAT_19", "TAX_SAVING", "of tomorrow"]
CENTS = st.integers(-100_000, 100_000) | st.integers(-3, 3)


NEEDED = needed("ledger.postings", "ledger.transaction_splits")


@st.composite
def movements(draw: st.DrawFn) -> list[tuple[int, list[Any], bool]]:
    """Draws amounts in cents with the amounts of their splits, and whether they are booked; mostly the splits are the whole."""
    drawn = []
    for parts in draw(st.lists(st.lists(CENTS, max_size=4), min_size=10, max_size=30)):
        missing = draw(st.sampled_from([0, 0, 0, 1, -250]))
        shown: list[Any] = [*parts, *draw(st.sampled_from([[]] * 4 + [[None], [0.5]]))]
        drawn.append((sum(parts) + missing if parts else draw(CENTS), shown, draw(st.sampled_from([True, True, False]))))
    return drawn


def raw_rows(drawn: list[tuple[int, list[Any], bool]], currency: str, category: st.DataObject) -> Given:
    return {
        "seeds.settings": [{"name": "reporting_currency", "value": currency}, {"name": "vat", "value": "off"}],
        "rates.reference_rates": [{"currency": "PLN", "day": date(2026, 3, 2), "rate": Decimal("4.252637")}],
        "kontist.transactions": [
            {
                "source_transaction_id": str(number),
                "amount_cents": cents,
                "booking_date": FIRST + timedelta(days=number),  # the last ones are too late for the rate
                "booking_type": "x" if booked else None,
                "splits": json.dumps([{"amount": one, "category": category.draw(st.sampled_from(CATEGORIES))} for one in parts])
                if parts
                else None,
            }
            for number, (cents, parts, booked) in enumerate(drawn)
        ],
    }


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(movements(), st.sampled_from(["EUR", "PLN"]), st.data())
def test_legs_sum_to_zero_and_to_the_amount(drawn: list[tuple[int, list[Any], bool]], currency: str, data: st.DataObject) -> None:
    with built(raw_rows(drawn, currency, data), NEEDED) as connection:
        found = connection.execute(
            "select transaction_id, list(leg order by leg), list(cast(amount * 100 as bigint) order by leg), sum(amount),"
            " sum(reporting_amount), count(reporting_amount), count(*) from ledger.postings group by transaction_id"
        ).fetchall()
        shown = connection.execute("select count(*) from ledger.transaction_splits").fetchall()

    assert shown == [(sum(len(parts) for _, parts, _ in drawn),)]
    expected = {}
    for number, (cents, parts, booked) in enumerate(drawn):
        follows = parts and all(type(one) is int for one in parts) and sum(parts) == cents
        if booked:
            others = [-one for one in parts] if follows else [-cents]
            legs = [5 + place for place in range(len(parts))] if follows else [2]
            expected[f"kontist:a:{number}"] = ([1, *legs], [cents, *others])
    assert {one[0]: (one[1], one[2]) for one in found} == expected
    for _, _, _, amount, reporting, converted, legs in found:
        assert amount == 0
        assert (reporting, converted) in ((0, legs), (None, 0))
