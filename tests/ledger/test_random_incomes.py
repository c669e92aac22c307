"""Whatever people earn and pay, what recurs is found, and a lender's figures are those of their lives, to the cent."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.ledger.lives import AS_OF, LATELY_FROM, MONTHS, READ_AT, REGULAR_FROM, THIS_MONTH, Life, Work, account, lives, raw_rows
from tests.ledger.worlds import Given, built, needed

ASKED = ("recurring", "payment_kinds", "affordability", "affordability_payments", "income_monthly", "expected_payments")
NEEDED = needed(*(f"ledger.{table}" for table in ASKED))
LENDING = needed("ledger.recurring", "ledger.payment_kinds", "ledger.affordability", "ledger.counterparties")
FEW = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""One build of many lives is worth many builds of one."""
LAST_DAY = THIS_MONTH - timedelta(days=1)


def asked(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """The rows of a query, by column."""
    found = connection.execute(query)
    names = [one[0] for one in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def money(cents: int, parts: int = 1) -> Decimal:
    return (Decimal(cents) / 100 / parts).quantize(Decimal("0.01"), ROUND_HALF_UP)


def series_payments(work: Work) -> list[int]:
    """The cents of a work's own payments by the last day, in order; doubled ones are of no series."""
    usual = [paid for paid in work.payments() if paid.what == work.name and paid.day <= AS_OF]
    return [paid.cents for paid in usual if paid.cents <= 1.5 * min(one.cents for one in usual)]


@settings(FEW, max_examples=3)
@given(lives())
def test_what_recurs_is_found_and_each_figure_is_that_of_the_life(people: list[Life]) -> None:
    with built(raw_rows(people), NEEDED) as connection:
        found = asked(connection, "select * from ledger.recurring left join ledger.counterparties using (counterparty_id)")
        figures = {one["account_ids"][0]: one for one in asked(connection, "select * from ledger.affordability")}
        monthly = asked(connection, "select account_id, month, sum(amount) as amount from ledger.income_monthly group by all")
        unexplained = asked(
            connection,
            "select transaction_id from ledger.affordability_payments left join ledger.payment_kinds using (transaction_id)"
            " where figure = 'recurring_income' and not contains(affordability_payments.evidence, coalesce(recurring_id, '?'))",
        )
        inferred = asked(connection, "select order_id from ledger.expected_payments where order_kind = 'inferred'")

    assert unexplained == []
    for number, life in enumerate(people):
        own = [one for one in found if one["account_id"] == account(number)]
        for work in life.works:
            holds_series(own, work)
        holds_costs(own, life)
        holds_figures(figures[account(number)], life)
        holds_months([one for one in monthly if one["account_id"] == account(number)], life)
    assert {one["order_id"] for one in inferred} == {one["recurring_id"] for one in found if not one["is_ended"]}


def holds_series(own: list[dict[str, Any]], work: Work) -> None:
    """One series of an employer or a customer lives on, whatever was missed or paid beside it."""
    (one,) = [one for one in own if one["name"] == work.name and not one["is_ended"]]
    usual = series_payments(work)

    assert (one["direction"], one["cadence"], one["rule"]) == ("in", "monthly", "similar amounts")
    assert one["payments"] == len(usual)
    if work.extra is None or work.extra.days > 0:
        assert one["typical_amount"] == money(sorted(usual[-6:])[2])
    assert one["payment_kind"] == ("salary" if work.is_labelled else None)


def holds_costs(own: list[dict[str, Any]], life: Life) -> None:
    """Rent and loan recur, and end only where they are not paid any more."""
    (rent,) = [one for one in own if one["name"] == "Haus"]
    assert (rent["cadence"], rent["payments"], rent["is_ended"], rent["payment_kind"]) == ("monthly", 15, False, "rent")
    assert rent["typical_amount"] == money(-sorted(life.rents[-6:], reverse=True)[2])
    instalments = [paid for paid in life.payments() if paid.what == "loan"]
    assert [(one["typical_amount"], one["payments"], one["payment_kind"]) for one in own if one["name"] == "Bank"] == (
        [(money(-life.instalment), len(instalments), "loan")] if len(instalments) >= 3 else []
    )


def holds_figures(one: dict[str, Any], life: Life) -> None:
    """What a lender asks about, of 90 days and six whole months."""
    spent = life.total("rent", "loan", "bet", "cash", "purchase", first=LATELY_FROM)
    bets, cash = life.total("bet", first=LATELY_FROM), life.total("cash", first=LATELY_FROM)

    assert (one["as_of"], one["whole_months"], one["regular_months"]) == (AS_OF, 6, 6 - missed_months(life))
    assert one["income"] == money(income_of(life, LATELY_FROM, AS_OF))
    assert one["income_this_month"] == money(income_of(life, THIS_MONTH, AS_OF))
    assert one["regular_income"] == money(regular_of(life), 6)
    assert one["rent"] == money(life.total("rent", first=LATELY_FROM))
    assert one["loan_instalments"] == money(life.total("loan", first=LATELY_FROM))
    assert (one["gambling"], one["cash"], one["spending"]) == (money(bets), money(cash), money(spent))
    assert one["gambling_share"] == (Decimal(bets) / spent).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    assert (one["returned_debits"], one["returned_debits_amount"]) == (1, money(33_33))


def holds_months(own: list[dict[str, Any]], life: Life) -> None:
    """The income of each month; a first payday that moves lies in the month before."""
    months = [(MONTHS[0] - timedelta(days=1)).replace(day=1), *MONTHS]

    assert {one["month"]: one["amount"] for one in own} == {
        month: money(cents) for month in months if (cents := income_of(life, *whole(month)))
    }


def whole(month: date) -> tuple[date, date]:
    """The first and the last day of a month, as far as it is known."""
    following = (month + timedelta(days=31)).replace(day=1)
    return month, min(AS_OF, following - timedelta(days=1))


def income_of(life: Life, first: date, last: date) -> int:
    return life.total(*(work.name for work in life.works), "extra", first=first, last=last)


def regular_of(life: Life) -> int:
    """The cents of six whole months that are salary by a word, or of a series."""
    named = [work.name for work in life.works]
    total = life.total(*named, first=REGULAR_FROM, last=LAST_DAY)
    for work in life.works:
        if work.is_labelled:
            total += life.total("extra", first=REGULAR_FROM, last=LAST_DAY)
        else:
            usual = series_payments(work)
            total -= sum(
                paid.cents
                for paid in work.payments()
                if paid.what == work.name and REGULAR_FROM <= paid.day <= LAST_DAY and paid.cents not in usual
            )
    return total


def missed_months(life: Life) -> int:
    """Whole months without regular income."""
    paid = {
        one.day.replace(day=1)
        for work in life.works
        for one in work.payments()
        if REGULAR_FROM <= one.day <= LAST_DAY and (work.is_labelled or one.cents in series_payments(work))
    }
    return 6 - len(paid)


@settings(FEW, max_examples=2)
@given(lives(6), st.randoms(use_true_random=False), st.integers(1, 6))
def test_a_series_is_the_same_in_any_order_and_however_much_of_its_history_is_known(
    people: list[Life], random: Random, months: int
) -> None:
    rows = raw_rows(people)
    tables, series = what_is_found(rows)

    assert what_is_found(in_another_order(rows, random)) == (tables, series)
    spans = [(MONTHS[months], READ_AT), (date.min, datetime(2026, 7 - months, 1, 12, tzinfo=UTC))]
    found = what_is_found(raw_rows(people, [spans[number % 2] for number in range(len(people))]))[1]
    for number, life in enumerate(people):
        for name in ("Haus", *(work.name for work in life.works)):
            known = {row for row, one in series.items() if one[:2] == (account(number), name)}
            again = {row for row, one in found.items() if one[:2] == (account(number), name)}
            assert 2 * len(known & again) > len(again) >= 6
            assert {series[row] for row in known & again} == {found[row] for row in known & again}


def in_another_order(rows: Given, random: Random) -> Given:
    movements = list(rows["kontist.transactions"])
    return {**rows, "kontist.transactions": random.sample(movements, len(movements))}


def what_is_found(rows: Given) -> tuple[list[list[dict[str, Any]]], dict[str, tuple[str, str, str]]]:
    """The lender's tables as they are; and by transaction the account, the party and the id of its series."""
    with built(rows, LENDING) as connection:
        tables = [asked(connection, f"select * from ledger.{table}") for table in ("recurring", "payment_kinds", "affordability")]
        series = connection.execute(
            "select transaction_id, recurring.account_id, name, recurring_id from ledger.payment_kinds"
            " inner join ledger.recurring using (recurring_id) inner join ledger.counterparties using (counterparty_id)"
        ).fetchall()
    return tables, {row: (account_id, name, one) for row, account_id, name, one in series}
