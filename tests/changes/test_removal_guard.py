"""Rows that a bank suddenly no longer shows, or shows changed, are held for confirmation; new rows load all the same."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.errors import WrongUsage
from pipelines.notify.notices import about_held
from pipelines.read.options import Options
from pipelines.run.accounts import accounts
from pipelines.run.summary import cells
from pipelines.settings import Settings
from sources.sandbox import EmptyAnswer
from tests.histories import Raw, Row, kontist, kontomatik, raw_history
from tests.support import FirstRuns, a_bank, account_id, assert_the_ledger_is_the_world, ledger_totals, read, rows

TEN = [kontist(n, f"2026-03-{n:02d}", n) for n in range(10, 0, -1)]
NINE = [kontist(n, f"2026-03-{n:02d}", -100 * n, name=f"shop {n}") for n in range(9, 0, -1)]
NINE_WITHOUT_IDS = [kontomatik(f"2026-03-{n:02d}", f"-{n}.00", title=f"shop {n}") for n in range(9, 0, -1)]


@pytest.mark.parametrize(
    ("left", "doubted"),
    [
        (TEN[:5], False),  # five of ten: a handful
        (TEN[:4], True),  # six of ten
        ([], True),
    ],
)
def test_more_than_a_handful_and_a_fifth_is_held(ids: Raw, left: list, doubted: bool) -> None:  # type: ignore[type-arg]
    ids.read({"A": TEN})
    cursors = ids.cursors()["accounts"]
    ids.read({"A": left})

    assert ids.outcomes["A"].status == ("doubted" if doubted else "complete")
    assert len(ids.current("transaction_id")) == (10 if doubted else len(left))
    assert (ids.cursors()["accounts"] == cursors) is doubted


def test_a_handful_that_is_all_there_was_is_held(ids: Raw) -> None:
    ids.read({"A": [*TEN[:2], kontist(0, "2026-01-01", 1)]})
    ids.read({"A": []}, "2026-03-01")

    assert ids.outcomes["A"].status == "doubted"
    assert ids.outcomes["A"].reason is not None
    assert "2 of 2 booked rows" in ids.outcomes["A"].reason


@pytest.mark.parametrize(("known", "status"), [(35, "complete"), (34, "doubted")])
def test_a_fifth_of_many_is_accepted_and_no_more(ids: Raw, known: int, status: str) -> None:
    many = [kontist(100 + n, "2026-02-01", n) for n in range(known)]
    ids.read({"A": many})
    ids.read({"A": many[7:]})

    assert ids.outcomes["A"].status == status
    assert ids.outcomes["A"].counts.removed == (7 if status == "complete" else 0)


def test_reservations_may_vanish_as_they_like(ids: Raw) -> None:
    held = [kontist(100 + n, "2026-03-10", n, pending=True) for n in range(30)]
    ids.read({"A": held + TEN})
    ids.read({"A": TEN})

    assert ids.outcomes["A"].status == "complete"
    assert len(ids.current("transaction_id")) == 10


def test_what_is_new_loads_while_removals_are_held(ids: Raw) -> None:
    ids.read({"A": TEN, "B": TEN[:1]})
    ids.read({"A": [kontist(11, "2026-03-11", 1)], "B": [kontist(12, "2026-03-12", 1), TEN[0]]})

    assert (ids.outcomes["A"].status, ids.outcomes["A"].counts.new) == ("doubted", 1)
    assert ids.current("amount_cents") == sorted([(n,) for n in range(1, 11)] + [(1,)])
    assert ids.outcomes["B"].counts.new == 1

    ids.read({"A": [kontist(11, "2026-03-11", 1), *TEN]})
    assert (ids.outcomes["A"].status, ids.outcomes["A"].counts.new) == ("complete", 0)


def test_the_balance_of_a_held_account_is_the_banks_latest(ids: Raw) -> None:
    ids.read({"A": TEN})
    ids.balance_cents = 500
    ids.read({"A": TEN[:1]})

    assert ids.outcomes["A"].status == "doubted"
    assert cells(ids.outcomes["A"])[2:6] == ("what is new", "·", "·", "·")
    assert cells(ids.outcomes["A"])[-1] == "held"
    assert ids.query("select balance_cents from kontist.accounts where _dlt_valid_to is null") == [(500,)]


def test_one_correction_in_a_short_window_is_accepted_at_once(no_ids: Raw) -> None:
    """Without ids a corrected amount is a row that goes and one that comes, on one day."""
    old = kontomatik("2026-02-01", "1.00")
    no_ids.read({"A": [kontomatik("2026-03-05", "-5.00"), old]})
    no_ids.read({"A": [kontomatik("2026-03-06", "-7.00"), kontomatik("2026-03-05", "-5.50")]}, "2026-03-01")

    assert no_ids.outcomes["A"].status == "complete"
    assert no_ids.current("amount") == [(Decimal("-7.00"),), (Decimal("-5.50"),), (Decimal("1.00"),)]


def test_so_is_one_row_that_moves_to_another_day(no_ids: Raw) -> None:
    no_ids.read({"A": [kontomatik("2026-03-05", "-5.00", title="rent")]})
    no_ids.read({"A": [kontomatik("2026-03-04", "-5.00", title="rent")]})

    assert no_ids.outcomes["A"].status == "complete"
    assert no_ids.current("window_on") == [(date(2026, 3, 4),)]


def test_a_removal_without_a_successor_is_held_and_the_new_row_of_another_day_loads(no_ids: Raw) -> None:
    no_ids.read({"A": [kontomatik("2026-03-05", "-5.00"), kontomatik("2026-02-01", "1.00")]})
    no_ids.read({"A": [kontomatik("2026-03-06", "-7.00")]}, "2026-03-01")

    assert (no_ids.outcomes["A"].status, no_ids.outcomes["A"].counts.new) == ("doubted", 1)
    assert "no longer shows 1 of 1 booked rows" in str(no_ids.outcomes["A"].reason)
    assert len(no_ids.current("amount")) == 3


def test_a_bank_that_renames_all_its_rows_takes_nothing_away(ids: Raw) -> None:
    ids.read({"A": NINE})
    ids.read({"A": [row | {"source_transaction_id": f"new-{row['source_transaction_id']}"} for row in NINE]})

    assert ids.outcomes["A"].status == "complete"
    assert len(ids.current("transaction_id")) == 9


def test_a_reservation_that_is_booked_while_removals_are_held_is_there_once(ids: Raw) -> None:
    hotel = kontist("r", "2026-03-11", -80, pending=True)
    ids.read({"A": [hotel, *NINE]})
    ids.read({"A": [kontist("b", "2026-03-12", -80)]})

    assert ids.outcomes["A"].status == "doubted"
    assert [one for (one,) in ids.current("source_transaction_id") if not one.isdigit()] == ["b"]


def _days_later(row: Row, days: int) -> Row:
    moved = row["window_on"] + timedelta(days=days)
    if "amount" in row:
        return row | {"window_on": moved, "transaction_on": moved, "booked_on": moved}
    return row | {"window_on": moved, "booking_date": row["booking_date"] + timedelta(days=days)}


def _times(row: Row, factor: int) -> Row:
    return row | {name: row[name] * factor for name in ("amount", "amount_cents") if name in row}


FAULTS: dict[str, Callable[[Row], Row]] = {
    "the sign is dropped": lambda row: _times(row, -1),
    "cents are taken for whole units": lambda row: _times(row, 100),
    "every row is a day later": lambda row: _days_later(row, 1),
    "every row is a year earlier": lambda row: _days_later(row, -365),
}
EXTRA_FAULTS: dict[str, Callable[[Row], Row]] = {
    "another currency": lambda row: row | {"currency": "PLN"},
    "the booking day moves alone": lambda row: row | {"booked_on": row["booked_on"] + timedelta(days=1)},
    "nothing is booked any more": lambda row: row | {"status": "PENDING"},
}


def _a_change_of_everything_is_held(raw: Raw, rows: list[Row], fault: Callable[[Row], Row], newest: Row) -> None:
    columns = "transaction_id, row_version"
    raw.read({"A": rows})
    before = set(raw.current(columns))
    wrong = [fault(row) for row in rows]
    statuses = []
    for shown in (wrong, [newest, *wrong], [newest, *wrong]):
        raw.read({"A": shown})
        statuses.append((raw.outcomes["A"].status, raw.outcomes["A"].counts.new, raw.outcomes["A"].counts.changed))
        assert before <= set(raw.current(columns)), "what was known stays"
        assert "held for confirmation" in str(raw.outcomes["A"].reason)
    assert statuses == [("doubted", 0, 0), ("doubted", 1, 0), ("doubted", 0, 0)], "what is new loads, and once"
    assert len(raw.current(columns)) == len(rows) + 1

    raw.read({"A": [newest, *rows]})
    assert (raw.outcomes["A"].status, raw.outcomes["A"].counts.new) == ("complete", 0)
    for _ in range(3):
        raw.read({"A": [newest, *wrong]})
        assert raw.outcomes["A"].status == "doubted"
    raw.read({"A": [newest, *wrong]})
    assert raw.outcomes["A"].status == "complete", "the same answer on three reads over a day is believed"
    assert len(raw.current(columns)) == len(rows) + 1
    assert before.isdisjoint(raw.current(columns))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_change_of_everything_is_held_like_a_removal_of_everything(ids: Raw, fault: Callable[[Row], Row]) -> None:
    _a_change_of_everything_is_held(ids, NINE, fault, kontist(20, "2026-03-20", -77, name="new"))


@pytest.mark.parametrize("fault", [*FAULTS.values(), *EXTRA_FAULTS.values()], ids=[*FAULTS, *EXTRA_FAULTS])
def test_so_it_is_where_a_changed_row_goes_and_comes_under_another_id(no_ids: Raw, fault: Callable[[Row], Row]) -> None:
    _a_change_of_everything_is_held(no_ids, NINE_WITHOUT_IDS, fault, kontomatik("2026-03-20", "-0.77", title="new"))


def test_a_cards_few_rows_are_held_when_all_of_them_change_sign(no_ids: Raw) -> None:
    card = [kontomatik("2026-03-02", "-20.00"), kontomatik("2026-03-01", "-10.00")]
    no_ids.read({"A": card})
    no_ids.read({"A": [_times(row, -1) for row in card]})

    assert no_ids.outcomes["A"].status == "doubted"
    assert "shows 2 of 2 booked rows with another amount, day or currency" in str(no_ids.outcomes["A"].reason)


@pytest.mark.parametrize(("known", "status"), [(35, "complete"), (34, "doubted")])
def test_a_handful_and_a_fifth_may_change(ids: Raw, known: int, status: str) -> None:
    many = [kontist(100 + n, "2026-02-01", n + 1) for n in range(known)]
    ids.read({"A": many})
    ids.read({"A": [_times(row, -1) for row in many[:7]] + many[7:]})

    assert (ids.outcomes["A"].status, ids.outcomes["A"].counts.changed) == (status, 7 if status == "complete" else 0)


def test_texts_may_all_change_at_once(ids: Raw) -> None:
    ids.read({"A": NINE})
    ids.read({"A": [row | {"name": "SHOP", "purpose": "card payment", "category": "x"} for row in NINE]})

    assert (ids.outcomes["A"].status, ids.outcomes["A"].counts.changed) == ("complete", 9)


def test_booking_days_that_come_later_are_no_change_of_days(no_ids: Raw) -> None:
    rows = [row | {"booked_on": None} for row in NINE_WITHOUT_IDS]
    no_ids.read({"A": rows})
    no_ids.read({"A": NINE_WITHOUT_IDS})

    assert (no_ids.outcomes["A"].status, no_ids.outcomes["A"].counts.changed) == ("complete", 9)


def test_a_change_of_everything_loads_when_somebody_accepts_it(no_ids: Raw) -> None:
    no_ids.read({"A": NINE_WITHOUT_IDS})
    no_ids.accepts = frozenset({"A"})
    no_ids.read({"A": [_times(row, -1) for row in NINE_WITHOUT_IDS]})

    assert no_ids.outcomes["A"].status == "complete"
    assert [amount for (amount,) in no_ids.current("amount")] == [Decimal(n) for n in range(1, 10)]


def test_rows_shown_before_the_window_wait_with_the_known_ones_that_they_replace(no_ids: Raw) -> None:
    """The bank is asked for one day more than the window claims, and shows that day with the wrong sign, too."""
    no_ids.read({"A": NINE_WITHOUT_IDS})
    no_ids.read({"A": [_times(row, -1) for row in NINE_WITHOUT_IDS[:8]]}, "2026-03-03")

    assert no_ids.outcomes["A"].status == "doubted"
    assert sum(amount for (amount,) in no_ids.current("amount")) == -45


def test_an_answer_cut_short_doubles_nothing_when_it_shows_every_sign_dropped(no_ids: Raw) -> None:
    no_ids.read({"A": NINE_WITHOUT_IDS})
    new = kontomatik("2026-03-10", "-3.00")
    no_ids.read({"A": [new, *(_times(row, -1) for row in NINE_WITHOUT_IDS[:7])]}, complete=False)

    assert (no_ids.outcomes["A"].status, no_ids.outcomes["A"].counts.new) == ("partial", 1)
    assert sum(amount for (amount,) in no_ids.current("amount")) == -48


def test_an_account_that_comes_in_another_currency_keeps_its_own_while_that_is_held(no_ids: Raw) -> None:
    no_ids.read({"A": NINE_WITHOUT_IDS})
    no_ids.currency = "PLN"
    no_ids.read({"A": [row | {"currency": "PLN"} for row in NINE_WITHOUT_IDS]})

    assert no_ids.outcomes["A"].status == "doubted"
    assert no_ids.query("select currency from kontomatik.accounts where _dlt_valid_to is null") == [("EUR",)]


def test_the_thresholds_of_changes_are_settings(fresh: Path) -> None:
    with raw_history(fresh, settings=Settings(changes_believed=9, changes_believed_percent=80)) as raw:
        raw.read({"A": TEN})
        raw.read({"A": [*TEN[:1], *(_times(row, -1) for row in TEN[1:])]})
        assert raw.outcomes["A"].status == "complete"


def test_three_reads_over_a_day_are_accepted(ids: Raw) -> None:
    ids.read({"A": TEN})
    statuses = []
    for _ in range(4):  # eight hours apart
        ids.read({"A": TEN[:2]})
        statuses.append(ids.outcomes["A"].status)

    assert statuses == ["doubted", "doubted", "doubted", "complete"]
    assert len(ids.current("transaction_id")) == 2
    assert ids.cursors()["doubts"] == {}


def test_three_reads_within_hours_are_not(ids: Raw) -> None:
    ids.read({"A": TEN})
    for _ in range(4):
        ids.clock -= timedelta(hours=7)
        ids.read({"A": TEN[:2]})

    assert ids.outcomes["A"].status == "doubted"


def test_another_answer_starts_the_waiting_anew(ids: Raw) -> None:
    ids.read({"A": TEN})
    for left in (TEN[:2], TEN[:2], TEN[:2], TEN[:3]):
        ids.read({"A": left})

    assert ids.outcomes["A"].status == "doubted"
    assert len(ids.current("transaction_id")) == 10


def test_a_bank_that_shows_its_rows_again_is_accepted_at_once(ids: Raw) -> None:
    ids.read({"A": TEN})
    ids.read({"A": []})
    ids.read({"A": TEN})

    assert ids.outcomes["A"].status == "complete"
    assert ids.cursors()["doubts"] == {}


def test_an_empty_account_stays_in_the_ledger_until_somebody_accepts_it(first_runs: FirstRuns, tmp_path: Path) -> None:
    world = first_runs.copy(tmp_path)
    with a_bank(world, dialect="live") as bank:
        before = ledger_totals(tmp_path)
        tram, card = world.account("4711"), world.account("Konto Start")
        bank.faults.append(EmptyAnswer(account=tram.key))
        bank.faults.append(EmptyAnswer(account=card.key))
        world.append("4712", amount="1.00")
        report = read(bank, tmp_path)

        assert (report.exit_status, report.status) == (4, "partial")
        doubted = {outcome.account_id: outcome.reason or "" for outcome in report.outcomes if outcome.troubled}
        assert set(doubted) == {account_id(tmp_path, tram), account_id(tmp_path, card)}
        held = {one["account_id"] for one in accounts(tmp_path / "ledger.duckdb") if one["held_since"]}
        assert held == set(doubted), "status says it, too"
        assert [notice.key for notice in about_held(accounts(tmp_path / "ledger.duckdb"))] == sorted(held)
        count = before["kontist", tram.key].booked_count
        assert f"{count} of {count} booked rows" in doubted[account_id(tmp_path, tram)]
        found = ledger_totals(tmp_path)
        assert {key: found[key] for key in found if key[1] != world.account("4712").key} == {
            key: before[key] for key in before if key[1] != world.account("4712").key
        }
        assert (
            found["kontist", world.account("4712").key].booked_count
            == before["kontist", world.account("4712").key].booked_count + 1
        )

        bank.requests.clear()
        with pytest.raises(WrongUsage, match="no account"):
            read(bank, tmp_path, Options(accept_removals=("kontist:0000000000000000",)))
        assert bank.count("POST", "reuse-multiple-access") == 0, "a slip of the hand costs no import"

        report = read(bank, tmp_path, Options(accept_removals=(account_id(tmp_path, tram),)))
        assert [outcome.account_id for outcome in report.outcomes if outcome.troubled] == [account_id(tmp_path, card)]
        assert ledger_totals(tmp_path)["kontist", tram.key].booked_count == 0
        removed = (
            f"select count(*) from transaction_history where change = 'removed' and account_id = '{account_id(tmp_path, tram)}'"
        )
        assert rows(tmp_path, removed) == [(count + before["kontist", tram.key].pending_count,)]

        bank.faults.clear()
        assert read(bank, tmp_path, Options(full_refresh=True)).exit_status == 0
        assert not any(one["held_since"] for one in accounts(tmp_path / "ledger.duckdb"))
        assert_the_ledger_is_the_world(tmp_path, bank)
