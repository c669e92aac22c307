"""How far back a run reads, and that no day is passed over between two of them."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.run import Options
from pipelines.sandbox import World
from tests.end_to_end.banking import a_bank, assert_the_ledger_is_the_world, ledger_totals, read

AUTUMN = date(2024, 10, 25)


@pytest.mark.parametrize(
    "source",
    [
        "kontist",
        pytest.param("kontomatik", marks=pytest.mark.xfail(strict=True, reason="--since after the last read moves the cursor")),
    ],
)
def test_since_never_passes_over_days_that_are_still_to_be_read(tmp_path: Path, source: str) -> None:
    world = World(today=AUTUMN)
    with a_bank(world, dialect="live") as bank:
        read(bank, tmp_path)
        world.live(days=60)
        for _ in range(60):
            world.append("4711", amount="-1.00")  # more than a page: a shallow read would stop behind them
        assert read(bank, tmp_path, Options(since=world.today - timedelta(days=1))).status == "ok"
        read(bank, tmp_path)

        ours, theirs = ledger_totals(tmp_path), world.totals(bank.dialect)
        assert {key: ours[key] for key in ours if key[0] == source} == {key: theirs[key] for key in theirs if key[0] == source}


def test_ten_days_of_life_each_end_with_the_world_in_the_ledger(tmp_path: Path) -> None:
    world = World(today=AUTUMN)
    depths = []
    with a_bank(world, dialect="live") as bank:
        for number in range(10):
            world.append("4711", amount=f"-{number + 1}.00", pending=number % 3 == 0)
            report = read(bank, tmp_path)
            assert report.status == "ok"
            assert_the_ledger_is_the_world(tmp_path, bank)
            depths.append(report.outcomes[0].depth)
            world.live(days=1)

    assert depths == ["full", *["deep"] * 6, "full", "deep", "deep"]


def test_an_old_row_that_is_edited_is_caught_when_everything_is_read_again(tmp_path: Path) -> None:
    world = World(today=date(2025, 1, 31))
    weekly = {"full_read_days": 3}
    with a_bank(world) as bank:
        read(bank, tmp_path, Options(sources=("kontist",)))
        old = [row for row in world.account("4711").transactions if row.booked_on is not None][-3]
        world.correct(old, amount="-0.77", description="corrected long ago")
        caught = []
        for _ in range(3):
            world.live(days=1)
            report = read(bank, tmp_path, Options(sources=("kontist",)), kontist=weekly)
            caught.append(report.banks[0].counts.changed > 0)
        assert caught == [False, False, True]


def test_a_second_run_of_a_day_asks_for_one_page_and_changes_nothing(tmp_path: Path) -> None:
    world = World(today=date(2025, 3, 31))
    with a_bank(world) as bank:
        read(bank, tmp_path, Options(sources=("kontist",)))
        world.live(days=1)
        report = read(bank, tmp_path, Options(sources=("kontist",)))
        assert {outcome.depth for outcome in report.outcomes} >= {"deep"}
        bank.requests.clear()
        report = read(bank, tmp_path, Options(sources=("kontist",)))
        assert bank.count("GET", "/4711/transactions") == 1
        assert report.banks[0].counts.new + report.banks[0].counts.changed + report.banks[0].counts.removed == 0
