"""How far back a run reads, and that no day is passed over between two of them."""

from datetime import date, timedelta
from pathlib import Path

from pipelines.read.options import Options
from sources.sandbox import World
from tests.support import FirstRuns, a_bank, assert_the_ledger_is_the_world, read, troubled


def test_since_never_passes_over_days_that_are_still_to_be_read(first_runs: FirstRuns, tmp_path: Path) -> None:
    world = first_runs.copy(tmp_path)
    with a_bank(world, dialect="live") as bank:
        world.live(days=60)
        for _ in range(60):
            world.append("4711", amount="-1.00")  # more than a page: a shallow read would stop behind them
        assert troubled(read(bank, tmp_path, Options(since=world.today - timedelta(days=1)), ledger=False)) == []
        read(bank, tmp_path)

        assert_the_ledger_is_the_world(tmp_path, bank)


def test_each_day_of_a_life_ends_with_the_world_in_the_ledger(tmp_path: Path) -> None:
    """A deep read a day, everything once a week (here: every three days), and an old row that is edited is caught by then."""
    world = World(today=date(2024, 12, 31))
    old = [row for row in world.account("4711").transactions if row.booked_on is not None][-3]
    depths, caught = [], []
    with a_bank(world, dialect="live") as bank:
        for number in range(4):
            world.append("4711", amount=f"-{number + 1}.00", pending=number % 2 == 0)
            report = read(bank, tmp_path, ledger=number == 3, kontist={"full_read_days": 3, "lookback_days": 10})
            assert troubled(report) == []
            depths.append(report.outcomes[0].depth)
            caught.append(report.banks[0].counts.changed)
            if number == 3:
                assert_the_ledger_is_the_world(tmp_path, bank)
            if number == 0:
                world.correct(old, description="corrected long ago")  # an amount would differ from the balance: read at once
            world.live(days=1)

    assert depths == ["full", "deep", "deep", "full"]
    assert caught == [0, 0, 0, 1]


def test_a_second_run_of_a_day_asks_for_one_page_and_changes_nothing(first_runs: FirstRuns, tmp_path: Path) -> None:
    world, only = first_runs.copy(tmp_path), Options(sources=("kontist",))
    with a_bank(world) as bank:
        world.live(days=1)
        report = read(bank, tmp_path, only, ledger=False)
        assert {outcome.depth for outcome in report.outcomes} >= {"deep"}
        bank.requests.clear()
        report = read(bank, tmp_path, only, ledger=False)
        assert bank.count("GET", "/4711/transactions") == 1
        assert report.banks[0].counts.new + report.banks[0].counts.changed + report.banks[0].counts.removed == 0
