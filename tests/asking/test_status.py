"""How things stand, for people, machines and whoever watches: what `status` says of a ledger, and what it ends with."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.notify.notices import about_differences
from pipelines.status import accounts
from tests.asking.asked import data_dir
from tests.ledger.worlds import Row


def a_read(number: int, day: int, status: str = "complete") -> Row:
    """One import of account `a`, from midnight to six o'clock."""
    about = {"import_id": f"i-{number}", "run_id": f"r-{number}", "account_id": "kontomatik:a", "status": status}
    about |= {"started_at": datetime(2026, 3, day, 5, tzinfo=UTC), "finished_at": datetime(2026, 3, day, 6, tzinfo=UTC)}
    return about | {"window_start": date(2026, 3, 1) if number > 1 else None, "window_end": date(2026, 3, day)}


@pytest.fixture(scope="module")
def contradicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account of 500.00, all from one row, of which the bank says 400.00 two weeks later and shows no further row."""
    first, second = a_read(1, 2), a_read(2, 16)
    balances = [
        {"account_id": "kontomatik:a", "currency": "PLN", "balance": Decimal("500.00"), "valid_from": first["finished_at"]},
        {"account_id": "kontomatik:a", "currency": "PLN", "balance": Decimal("400.00"), "valid_from": second["finished_at"]},
    ]
    balances[0]["valid_to"] = second["finished_at"]
    movement = {"transaction_id": "kontomatik:a:1", "booked_on": date(2026, 2, 27), "amount": Decimal("500.00")}
    movement |= {"position_in_day": 1, "import_id": "i-1", "valid_from": first["finished_at"]}
    return data_dir(
        tmp_path_factory.mktemp("contradicted"),
        {
            "kontomatik.accounts": balances,
            "kontomatik.transactions": [movement],
            "kontomatik.imports": [first, second, a_read(3, 17, "failed")],
        },
    )


def test_an_account_whose_balance_contradicts_the_ledger_is_in_status_and_a_notice(contradicted: Path) -> None:
    (account,) = accounts(contradicted / "ledger.duckdb")
    (notice,) = about_differences([account])

    assert (account["differs_from"], account["differs_until"]) == ("2026-02-27", "2026-03-16")
    assert (account["days"], account["reconciled_days"]) == (18, 0)
    assert (notice.payload["from_on"], notice.payload["to_on"]) == ("2026-02-27", "2026-03-16")
