"""A reservation that a bank neither books nor releases is reported once, and counted nowhere."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.ledger.worlds import Row, built
from transforms.warnings import notices

MADE = date(2026, 1, 5)


def read(day: date) -> Row:
    end = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return {"import_id": f"i-{day}", "account_id": "kontomatik:a", "started_at": end, "finished_at": end, "window_end": day}


@pytest.mark.parametrize(
    ("ages", "reported"),
    [([42], False), ([43], True), ([20, 49], True), ([43, 44], False), ([20, 42], False)],
)
def test_a_reservation_of_seven_weeks_is_reported_by_the_first_read_that_finds_it_so_old(ages: list[int], reported: bool) -> None:
    given = {
        "kontomatik.accounts": [{"balance": Decimal(10)}],
        "kontomatik.transactions": [{"booked_on": MADE, "amount": Decimal(-3), "status": "HOLD"}],
        "kontomatik.imports": [read(MADE + timedelta(days=age)) for age in ages],
    }
    with built(given) as connection:
        said = [one for one in notices(connection) if "older than six weeks" in one]
        assert bool(said) is reported
        assert connection.execute("from ledger.cash_forecast where expected_in <> 0 or expected_out <> 0").fetchall() == []
