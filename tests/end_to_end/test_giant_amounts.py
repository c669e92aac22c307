"""Amounts of any size: those that the ledger has room for are booked, others cost their own row and nothing else."""

from pathlib import Path

import pytest

from sources.sandbox import World
from tests.support import a_bank, read, rows

pytestmark = pytest.mark.usefixtures("by_dlt")
ROOM = "9999999999999.99"
BEYOND = ("10000000000000.00", "123456789012345.67", "9999999999999999.99")


@pytest.mark.parametrize("dialect", ["openapi", "live"])
def test_an_amount_that_the_ledger_has_no_room_for_costs_its_row_and_the_largest_ones_are_booked(
    tmp_path: Path, dialect: str
) -> None:
    world = World(transactions=12)
    with a_bank(world, dialect=dialect) as bank:
        read(bank, tmp_path)
        (before,) = rows(tmp_path, "select count(*) from transactions")
        for account in ("4711", "Konto Start"):
            for amount in (ROOM, *BEYOND):
                world.append(account, amount=amount)
                world.append(account, amount=f"-{amount}")
        report = read(bank, tmp_path)

    assert (report.refused, report.published is not None) == (None, True)
    assert rows(tmp_path, f"select source, count(*) from transactions where abs(amount) = {ROOM} group by all order by all") == [
        ("kontist", 2),
        ("kontomatik", 2),
    ]
    assert rows(tmp_path, "select count(*) from transactions") == [(before[0] + 4,)]
    assert rows(tmp_path, "select source, count(*) from quarantine group by all order by all") == [
        ("kontist", 6),
        ("kontomatik", 6),
    ]
