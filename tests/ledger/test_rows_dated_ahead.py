"""A row that a bank has booked for a day to come is no past money, whatever kinds of balance the bank gives."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.ledger.worlds import MODELS, Given, Row, built
from transforms.checks import run_checks

THE_20TH, TODAY, THE_30TH, LATER = date(2026, 3, 20), date(2026, 3, 27), date(2026, 3, 30), date(2026, 4, 1)
BALANCE = {TODAY: Decimal(1000), LATER: Decimal(800)}


def moment(day: date, hour: int = 6) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def imports(reads: list[date], source: str) -> list[Row]:
    return [
        {
            "import_id": f"i-{day}",
            "account_id": f"{source}:a",
            "started_at": moment(day, 5),
            "finished_at": moment(day),
            "window_start": None if source == "kontist" else date(2026, 1, 1),
            "window_end": day,
        }
        for day in reads
    ]


def kontist(reads: list[date], reported: bool, running: bool) -> Given:
    return {
        "kontist.accounts": versions(reads, lambda day: {"balance_cents": int(BALANCE[day] * 100) if reported else None}),
        "kontist.transactions": [
            {"source_transaction_id": str(n), "booking_type": "x", "amount_cents": cents, "booking_date": moment(day, 12),
             "import_id": f"i-{TODAY}", "valid_from": moment(TODAY)}
            for n, (day, cents) in enumerate([(THE_20TH, 100_000), (THE_30TH, -20_000)])
        ],
        "kontist.imports": imports(reads, "kontist"),
    }  # fmt: skip


def kontomatik(reads: list[date], reported: bool, running: bool, at_once: bool = False) -> Given:
    def balance(day: date) -> dict[str, Any]:
        return {"currency": "PLN", "balance": (BALANCE[LATER] if at_once else BALANCE[day]) if reported else None}

    return {
        "kontomatik.accounts": versions(reads, balance),
        "kontomatik.transactions": [
            {"transaction_id": f"kontomatik:a:{n}", "booked_on": day, "amount": Decimal(amount), "import_id": f"i-{TODAY}",
             "balance_after": Decimal(after) if running else None, "position_in_day": n, "valid_from": moment(TODAY)}
            for n, (day, amount, after) in enumerate([(THE_20TH, 1000, 1000), (THE_30TH, -200, 800)])
        ],
        "kontomatik.imports": imports(reads, "kontomatik"),
    }  # fmt: skip


def versions(reads: list[date], says: Any) -> list[Row]:
    """One version of the account a read."""
    ends = [*map(moment, reads[1:]), None]
    return [says(day) | {"valid_from": moment(day), "valid_to": end} for day, end in zip(reads, ends, strict=True)]


BANKS = [
    pytest.param(kontist, True, False, id="Kontist"),
    pytest.param(kontomatik, True, False, id="Kontomatik: the account's balance"),
    pytest.param(kontomatik, True, True, id="Kontomatik: the account's balance and running balances"),
    pytest.param(kontomatik, False, True, id="Kontomatik: running balances only"),
    pytest.param(lambda *given: kontomatik(*given, at_once=True), True, True, id="a balance that holds what is dated ahead"),
]


@pytest.mark.parametrize(("bank", "reported", "running"), BANKS)
@pytest.mark.parametrize("reads", [[TODAY], [TODAY, LATER]], ids=["read before its day", "read again after it"])
def test_a_row_dated_ahead_moves_the_balance_on_its_own_day(bank: Any, reported: bool, running: bool, reads: list[date]) -> None:
    with built(bank(reads, reported, running)) as connection:
        closing = dict(connection.execute("select day, closing_balance from ledger.balances_daily").fetchall())
        assert [closing[day] for day in (THE_20TH, TODAY, THE_30TH)] == [1000, 1000, 800]
        if LATER in reads:
            assert closing[LATER] == 800
        assert (
            connection.execute("from ledger.coverage where proof = 'differs' or difference_amount is not null").fetchall() == []
        )
        assert [result.name for result in run_checks(connection, MODELS) if not result.passed] == []


def test_without_any_balance_nothing_is_made_up() -> None:
    with built(kontomatik([TODAY], False, False)) as connection:
        assert connection.execute("select distinct closing_balance, proof from ledger.balances_daily").fetchall() == [
            (None, "unknown")
        ]


def test_the_forecast_pays_a_row_dated_ahead_on_its_day_and_once() -> None:
    with built(kontist([TODAY], True, False)) as connection:
        rows = connection.execute(
            "select day, expected_out, closing_balance from ledger.cash_forecast where expected_out <> 0"
        ).fetchall()
        assert rows == [(THE_30TH, -200, 800)]
    with built(kontomatik([TODAY], True, True, at_once=True)) as connection:  # its balance holds the payment already
        assert connection.execute("from ledger.cash_forecast where expected_out <> 0").fetchall() == []


def test_a_row_dated_ahead_that_the_bank_takes_back_before_its_day_never_moved_anything() -> None:
    given: Any = kontist([TODAY, LATER], True, False)
    given["kontist.accounts"][1]["balance_cents"] = 100_000
    given["kontist.transactions"][1]["valid_to"] = moment(date(2026, 3, 29))
    with built(given) as connection:
        assert (
            connection.execute("from ledger.coverage where proof = 'differs' or difference_amount is not null").fetchall() == []
        )
        assert connection.execute("select max_by(closing_balance, day) from ledger.balances_daily").fetchall() == [(1000,)]


@pytest.mark.parametrize("bank", [kontist, kontomatik])
def test_an_account_that_its_bank_ended_keeps_the_movement_that_was_dated_later(bank: Any) -> None:
    given = dict(bank([TODAY], True, False))
    (accounts,) = (name for name in given if name.endswith(".accounts"))
    given[accounts] = [{**row, "valid_to": moment(date(2026, 3, 28))} for row in given[accounts]]

    with built(given) as connection:
        last = connection.execute("select max(day), max_by(closing_balance, day) from ledger.main.balances_daily").fetchall()
        assert last == [(THE_30TH, Decimal(800))]
        assert connection.execute("select count(*) from ledger.main.cash_forecast").fetchall() == [(0,)]
        assert [check.name for check in run_checks(connection, MODELS) if not check.passed] == []
