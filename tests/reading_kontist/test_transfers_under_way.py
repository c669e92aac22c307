"""A transfer that is under way at the live service, from the order to the booking, through whole runs."""

from decimal import Decimal
from pathlib import Path

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.reading_kontist.test_refused_fields import live
from tests.support import a_bank, read, rows, troubled

PAYEE = "DE02120300000000202051"


def expected(bank: SandboxBank, data: Path) -> tuple[list[str], Decimal]:
    """What a run makes of the payee's payments, and the balance that the forecast has for the first day to come."""
    assert troubled(read(bank, data, Options(("kontist",)), kontist=live(bank))) == []
    statuses = rows(data, f"select status from expected_payments where counterparty_iban = '{PAYEE}' order by 1")
    closing = "select closing_balance from cash_forecast where account_id = (select account_id from expected_payments limit 1)"
    ((left,),) = rows(data, f"{closing} order by day limit 1")
    return [status for (status,) in statuses], left


def test_a_transfer_is_expected_until_it_is_booked_and_never_counts_twice(tmp_path: Path) -> None:
    world = World(transactions=60)  # of today: the day on which a transfer is first seen is that of this machine
    with a_bank(world) as bank:
        world.transfer("4711", amount="1.00", party_iban=PAYEE, status="BOOKED")
        world.transfer("4711", amount="100.00", party_iban=PAYEE)
        cancelled = world.transfer("4711", amount="55.00", party_iban=PAYEE, kind="INSTANT_CREDIT_TRANSFER")
        under_way, left = expected(bank, tmp_path)
        assert under_way == ["due", "due"]

        world.append("4711", amount="-100.00", party_iban=PAYEE)
        cancelled["status"] = "CANCELED"
        assert expected(bank, tmp_path) == (["executed"], left + 55), "booked, though it is still in the list"
