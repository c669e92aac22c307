"""Whatever the amount, its tax is that of the rate to the cent, the legs sum to it, and the opposite amount has opposite legs.

Whatever the movements, the tables of a month and of a year hold each tax and each amount once.
"""

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

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


CODES = (None, *RATES, "VAT", "PRIVATE", "VAT_PAYMENT", "TAX_PAYMENT")
NAMES = ("Supplier", "Customer", "Cloud", "Home", "Employer")
RULES = [
    {"rule": "supplier", "counterparty": "Supplier", "direction": "any", "ledger_account": "Expenses:Business"},
    {"rule": "cloud", "counterparty": "Cloud", "direction": "any", "ledger_account": "Expenses:Business",
     "vat_code": "REVERSE_CHARGE_EU"},
    {"rule": "home", "counterparty": "Home", "direction": "any", "ledger_account": "Equity:Private"},
    {"rule": "untaxed", "counterparty": "Employer", "direction": "any", "ledger_account": "Income:Salary", "vat_code": "NONE"},
]  # fmt: skip
MOVEMENTS = st.lists(
    st.tuples(
        st.integers(0, 260),
        st.integers(-99_999, 99_999).filter(bool),
        st.sampled_from(CODES),
        st.sampled_from(NAMES),
        st.sampled_from(["", "Erstattung", "Rechnung"]),
        st.booleans(),
    ),
    min_size=30,
    max_size=60,
)
TABLES = needed("ledger.postings", "ledger.vat_monthly", "ledger.euer_lines", "ledger.transactions")


def history(drawn: list[tuple[int, int, str | None, str, str, bool]]) -> Given:
    """The drawn movements around the half year of other rates; some of them as two parts."""
    rows: list[dict[str, Any]] = [
        {
            "source_transaction_id": str(number),
            "amount_cents": cents,
            "category": code,
            "name": name,
            "purpose": purpose,
            "booking_date": datetime(2020, 5, 15, 12, tzinfo=UTC) + timedelta(days=day),
            "booking_type": "SEPA_CREDIT_TRANSFER",
            "splits": json.dumps([{"amount": cents - 7, "category": code}, {"amount": 7, "category": "VAT_7"}])
            if is_divided and code
            else None,
        }
        for number, (day, cents, code, name, purpose, is_divided) in enumerate(drawn)
    ]
    return {"seeds.rules": RULES, "kontist.transactions": rows}


@settings(
    max_examples=4,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(MOVEMENTS)
def test_months_hold_each_tax_and_years_each_amount_once(drawn: list[tuple[int, int, str | None, str, str, bool]]) -> None:
    with built(history(drawn), TABLES) as connection:
        legs = connection.execute("select booked_on, leg, ledger_account, amount, vat_code from ledger.postings").fetchall()
        months = connection.execute(
            "select month, figure, side, vat_code, amount, vat_monthly_id from ledger.vat_monthly"
        ).fetchall()
        years = connection.execute("select year, section, line, amount, euer_line_id from ledger.euer_lines").fetchall()

    taxes: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
    bases: dict[tuple[date, str | None], Decimal] = defaultdict(Decimal)
    moved: dict[int, Decimal] = defaultdict(Decimal)
    for day, leg, account, amount, code in legs:
        if leg > 1000:
            is_owed = account == "Liabilities:Output-VAT"
            taxes[day.replace(day=1), "output_tax" if is_owed else "input_tax", code] += -amount if is_owed else amount
        elif code:
            bases[day.replace(day=1), code] += amount
        if leg == 1:
            moved[day.year] += amount
    shown_taxes: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
    shown_bases: dict[tuple[date, str | None], Decimal] = defaultdict(Decimal)
    for month, figure, side, code, amount, _ in months:
        if figure in ("output_tax", "input_tax"):
            shown_taxes[month, figure, code] += amount
        elif code:
            shown_bases[month, code] += -amount if side == "sale" else amount
    shown_years: dict[int, Decimal] = defaultdict(Decimal)
    for year, _, _, amount, _ in years:
        shown_years[year] += amount

    assert (shown_taxes, shown_bases, shown_years) == (taxes, bases, moved)
    assert len({one[-1] for one in months}) == len(months)
    assert len({one[-1] for one in years}) == len(years)
    # what a person has to decide is in no line of the profit, and no box
    assert {section for _, section, line, _, _ in years if line in ("refunds", "vat_unknown", "uncategorised")} <= {"not_mapped"}
