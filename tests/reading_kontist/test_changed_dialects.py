"""A change of the dialect at any hour: rows have other ids then, and no money is there twice."""

from pathlib import Path

import pytest

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.reading_kontist.test_refused_fields import live
from tests.support import AUTUMN, a_bank, read, rows, troubled


def held_is_shown(bank: SandboxBank, data: Path, *, by_queries: bool) -> None:
    """Reads Kontist, and compares day, amount and kind of all rows."""
    report = read(bank, data, Options(("kontist",)), ledger=False, kontist=live(bank) if by_queries else {})
    assert troubled(report) == []
    found = rows(
        data,
        "select a.iban, t.window_on, amount_cents, valuta_date is not null from kontist.transactions t"
        " join kontist.accounts a using (account_id) where t._dlt_valid_to is null and a._dlt_valid_to is null order by all",
        of="raw",
    )
    own = [one for one in bank.world.accounts if one.bank == "kontist"]
    assert found == sorted(
        (one.iban, row.booked_on or row.day, row.cents, row.booked_on is not None) for one in own for row in one.newest_first()
    )


@pytest.mark.parametrize("first", [False, True], ids=["from REST", "from GraphQL"])
def test_a_change_of_the_dialect_doubles_no_row_when_only_the_last_days_are_due(tmp_path: Path, first: bool) -> None:
    """The last page of a read of the look-back days shows older rows, too."""
    world = World(today=AUTUMN, transactions=160)
    world.append("4711", amount="-3.00", pending=True)
    with a_bank(world) as bank:
        held_is_shown(bank, tmp_path, by_queries=first)
        world.live(1)
        held_is_shown(bank, tmp_path, by_queries=not first)


def test_memos_that_rest_does_not_show_hold_no_row_back_that_has_their_amount(tmp_path: Path) -> None:
    """They vanish with the change, and are no reservations that a booking could have taken the place of."""
    world = World(today=AUTUMN, transactions=40)
    for row in world.account("4711").newest_first()[:12]:
        world.memo("4711", amount=row.amount, day=row.day)
    with a_bank(world) as bank:
        assert troubled(read(bank, tmp_path, Options(("kontist",)), ledger=False, kontist=live(bank))) == []
        held_is_shown(bank, tmp_path, by_queries=False)
        assert troubled(read(bank, tmp_path, Options(("kontist",)), ledger=False, kontist=live(bank))) == []
