"""Whatever the amount, its tax is that of the rate to the cent, the legs sum to it, and the opposite amount has opposite legs."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.ledger.worlds import Given, built, needed

RATES = {"VAT_19": 19, "VAT_16": 16, "VAT_7": 7, "VAT_5": 5, "VAT_0": 0, "REVERSE_CHARGE": 19}
LOWER = datetime(2020, 9, 1, 12, tzinfo=UTC)
"""A day on which every code has a rate."""
CENTS = st.integers(1, 200) | st.integers(1, 10**8) | st.integers(10**12, 10**14)
NEEDED = needed("ledger.postings")


def tax_in(cents: int, code: str) -> int:
    """The tax in an amount of cents, or on it where the buyer owes it, by fractions."""
    rate = RATES[code]
    exact = Fraction(abs(cents) * rate, 100 if code == "REVERSE_CHARGE" else 100 + rate)
    return (1 if cents > 0 else -1) * int(exact + Fraction(1, 2))


def raw_rows(amounts: list[int], currency: str) -> Given:
    """Each amount with each code in both directions, and one movement of all amounts as splits."""
    movements = [
        {"source_transaction_id": f"{sign}{code}{cents}", "amount_cents": int(f"{sign}{cents}"), "category": code}
        for cents in amounts
        for code in RATES
        for sign in "+-"
    ]
    parts = [{"amount": -cents, "category": list(RATES)[place % len(RATES)]} for place, cents in enumerate(amounts)]
    movements.append({"source_transaction_id": "parts", "amount_cents": -sum(amounts), "splits": json.dumps(parts)})
    return {
        "seeds.settings": [{"name": "reporting_currency", "value": currency}],
        "rates.reference_rates": [{"currency": "PLN", "day": date(2020, 9, 1), "rate": Decimal("4.252637")}],
        "kontist.transactions": [one | {"booking_date": LOWER, "booking_type": "x"} for one in movements],
    }


def expected_legs(cents: int, code: str, net_leg: int = 2) -> dict[int, int]:
    """The legs beside the bank's, in cents, of a movement or a part."""
    tax = tax_in(cents, code)
    if code == "REVERSE_CHARGE":
        owed = {1000 + net_leg: tax, 2000 + net_leg: -tax} if cents < 0 and tax else {}
        return {net_leg: -cents, **owed}
    return {net_leg: tax - cents} | ({1000 + net_leg: -tax} if tax else {})


@settings(
    max_examples=4,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(CENTS, min_size=5, max_size=12, unique=True), st.sampled_from(["EUR", "PLN"]))
def test_net_and_tax_are_the_amount_to_the_cent_in_both_directions(amounts: list[int], currency: str) -> None:
    with built(raw_rows(amounts, currency), NEEDED) as connection:
        found = connection.execute(
            "select transaction_id, map(list(leg), list(cast(amount * 100 as bigint))) as legs,"
            " coalesce(sum(reporting_amount), 0) as rest, count(reporting_amount) in (0, count(*)) as is_whole"
            " from ledger.postings group by transaction_id"
        ).fetchall()

    legs = {name.removeprefix("kontist:a:"): shown for name, shown, _, _ in found}
    for cents in amounts:
        for code in RATES:
            for sign in (1, -1):
                shown = legs[f"{'+' if sign > 0 else '-'}{code}{cents}"]

                assert shown == {1: sign * cents} | expected_legs(sign * cents, code)
    wanted = {1: -sum(amounts)}
    for place, cents in enumerate(amounts):
        wanted |= expected_legs(-cents, list(RATES)[place % len(RATES)], 5 + place)
    assert legs["parts"] == wanted
    assert {(rest, whole) for _, _, rest, whole in found} == {(0, True)}
