"""A day that a later balance contradicts is not reconciled by an earlier one; the certificate names it and the next step."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipelines.questions.prove import Certificate, certificate, text
from tests.ledger.worlds import MODELS, Row, built
from transforms.checks import run_checks

FEBRUARY = (date(2026, 2, 1), date(2026, 2, 28))
Given = dict[str, list[Row]]


def moment(day: date, hour: int = 6) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def read(number: int, day: date, since: date | None, hour: int = 6, source: str = "kontomatik") -> Row:
    """One complete import of account `a`."""
    return {
        "import_id": f"i-{number}",
        "account_id": f"{source}:a",
        "started_at": moment(day, hour - 1),
        "finished_at": moment(day, hour),
        "window_start": since,
        "window_end": day,
    }


def proof_of(given: Given, days: tuple[date, date] = FEBRUARY) -> dict[str, Any]:
    return certified(given, days).as_json()


def certified(given: Given, days: tuple[date, date] = FEBRUARY) -> Certificate:
    with built(given) as connection:
        assert [result.name for result in run_checks(connection, MODELS) if not result.passed] == []
        connection.execute("use ledger")
        return certificate(connection, next(iter(given.values()))[0]["account_id"], *days)


def row(number: int, day: date, amount: str, imported: Row, after: str | None = None) -> Row:
    return {
        "transaction_id": f"kontomatik:a:{number}",
        "booked_on": day,
        "amount": Decimal(amount),
        "balance_after": None if after is None else Decimal(after),
        "position_in_day": number,
        "import_id": imported["import_id"],
        "valid_from": imported["finished_at"],
    }


def balances(*reads: tuple[Row, str]) -> list[Row]:
    """A version of the account a read, with the balance that the bank reported then."""
    ends = [*(one["finished_at"] for one, _ in reads[1:]), None]
    return [
        {
            "account_id": "kontomatik:a",
            "currency": "PLN",
            "balance": Decimal(balance),
            "valid_from": one["finished_at"],
            "valid_to": end,
        }
        for (one, balance), end in zip(reads, ends, strict=True)
    ]


def openapi(second: Row, found: list[Row] | None = None, more: list[tuple[Row, str]] | None = None) -> Given:
    """No running balances. Between the reads the bank shows a row of -77.77 of 10 February, which the second does not reach."""
    first = read(1, date(2026, 3, 1), None)
    later = more or []
    return {
        "kontomatik.accounts": balances((first, "500.00"), (second, "422.23"), *later),
        "kontomatik.transactions": [row(1, date(2026, 1, 5), "500.00", first), *(found or [])],
        "kontomatik.imports": [first, second, *(one for one, _ in later)],
    }


@pytest.mark.parametrize(
    "second",
    [read(2, date(2026, 3, 1), date(2026, 2, 15), hour=9), read(2, date(2026, 3, 15), date(2026, 3, 1))],
    ids=["on the same day", "two weeks later"],
)
def test_a_row_dated_before_what_was_read_makes_every_day_that_it_may_lie_on_incomplete(second: Row) -> None:
    proof = proof_of(openapi(second))

    assert (proof["verdict"], proof["complete"]) == ("incomplete", False)
    assert proof["proof"] == {"differs": 28}
    (difference,) = proof["missing"]
    assert (difference["kind"], difference["amount"]) == ("difference", Decimal("-77.77"))
    assert difference["since"] < FEBRUARY[0]
    assert difference["day"] >= FEBRUARY[1]
    assert (proof["complete_days"], proof["reconciled_days"]) == (28, 0)
    shown = text(certified(openapi(second)))
    assert "-77.77 PLN moved at the bank (after 2026-01-04, by 2026-03-" in shown
    assert "complete: 28 of 28 days\nreconciled with the bank's balance: 0 of 28 days" in shown
    assert "next      Read all that the bank shows" in shown


def test_a_deeper_read_that_brings_the_row_ends_the_contradiction() -> None:
    second, third = read(2, date(2026, 3, 15), date(2026, 3, 1)), read(3, date(2026, 3, 16), date(2026, 1, 1))
    proof = proof_of(openapi(second, [row(2, date(2026, 2, 10), "-77.77", third)], [(third, "422.23")]))

    assert (proof["missing"], proof["complete"]) == ([], True)
    assert "differs" not in proof["proof"]


def test_a_deeper_read_that_brings_nothing_leaves_the_difference_between_the_two_reports() -> None:
    second, third = read(2, date(2026, 3, 15), date(2026, 3, 1)), read(3, date(2026, 3, 16), None)
    given = openapi(second, more=[(third, "422.23")])

    assert proof_of(given)["complete"]
    (difference,) = proof_of(given, (date(2026, 3, 1), date(2026, 3, 15)))["missing"]
    assert (difference["since"], difference["day"]) == (date(2026, 3, 1), date(2026, 3, 15))


def live(third_reaches_back: bool = False) -> Given:
    """Running balances. The bank dates a row of -77.77 on 10 February after the first read, so later balances shift."""
    first, second = read(1, date(2026, 2, 28), None), read(2, date(2026, 3, 15), date(2026, 3, 1))
    old = [row(n, date(2026, 2, n), "10.00", first, str(100 + 10 * n)) for n in (1, 5, 20)]
    new = [row(30, date(2026, 3, 5), "1.00", second, f"{300 - Decimal('76.77')}")]
    given = {
        "kontomatik.accounts": balances((first, "300.00"), (second, "223.23")),
        "kontomatik.transactions": [*old[:2], row(20, date(2026, 2, 20), "10.00", first, "300.00"), *new],
        "kontomatik.imports": [first, second],
    }
    given["kontomatik.transactions"][1] |= {"balance_after": Decimal(290)}
    given["kontomatik.transactions"][0] |= {"balance_after": Decimal(280)}
    if third_reaches_back:
        third = read(3, date(2026, 3, 16), date(2026, 1, 1))
        given["kontomatik.imports"].append(third)
        given["kontomatik.transactions"] = [
            row(1, date(2026, 2, 1), "10.00", first, "280.00"),
            row(5, date(2026, 2, 5), "10.00", first, "290.00"),
            row(10, date(2026, 2, 10), "-77.77", third, "212.23"),
            row(20, date(2026, 2, 20), "10.00", third, "222.23"),
            row(30, date(2026, 3, 5), "1.00", second, "223.23"),
        ]
    return given


def test_days_that_old_running_balances_proved_are_not_proven_when_todays_contradict_them() -> None:
    proof = proof_of(live())

    assert proof["verdict"] == "incomplete"
    assert (proof["complete_days"], proof["reconciled_days"]) == (27, 0)  # the last day was read before it was over
    assert Decimal("-77.77") in [one.get("amount") for one in proof["missing"]]


def test_days_that_todays_running_balances_lead_through_are_proven_again() -> None:
    proof = proof_of(live(third_reaches_back=True))

    assert proof["complete"]
    assert (proof["complete_days"], proof["reconciled_days"]) == (28, 27)  # nothing comes before the first movement


def test_what_moved_in_a_gap_in_coverage_takes_no_proof_from_the_days_before_it() -> None:
    given = live()
    given["kontomatik.holes"] = [{"from_on": date(2026, 3, 1), "to_on": date(2026, 3, 2)}]
    proof = proof_of(given, (date(2026, 2, 2), date(2026, 2, 19)))

    assert (proof["verdict"], proof["reconciled_days"]) == ("proven", 18)


@pytest.mark.parametrize("day", [date(2026, 1, 2), date(2026, 1, 5)])
def test_the_first_and_the_last_day_of_a_gap_are_missing(day: date) -> None:
    first = read(1, date(2026, 1, 20), None)
    given: Given = {
        "kontomatik.accounts": balances((first, "0.00")),
        "kontomatik.transactions": [row(1, date(2026, 1, 1), "1.00", first), row(2, date(2026, 1, 9), "-1.00", first)],
        "kontomatik.imports": [first],
        "kontomatik.holes": [{"from_on": date(2026, 1, 2), "to_on": date(2026, 1, 5)}],
    }
    proof = proof_of(given, (day, day))
    assert [one["kind"] for one in proof["missing"]] == ["hole"]
    assert not proof["complete"]
