"""Kontist's live service through whole runs: after each, the ledger is the world, also when the dialect changes in between."""

from pathlib import Path
from typing import Any

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.support import AUTUMN, a_bank, ledger_balances, ledger_totals, read, troubled


def live(bank: SandboxBank) -> dict[str, Any]:
    """The settings of a login at the live service."""
    world = bank.world
    own = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
    return {"dialect": "graphql", "refresh_token": bank.kontist.oauth.pair()[1]} | own


def follows(bank: SandboxBank, data: Path, dialect: str) -> None:
    """Runs, and checks each account's counts, sums and balance. The live service names no usable balance of a further account."""
    report = read(bank, data, Options(("kontist",)), kontist=live(bank) if dialect == "graphql" else {})
    assert troubled(report) == []
    own = {("kontist", one.key): one for one in bank.world.accounts if one.bank == "kontist"}
    assert ledger_totals(data) == {key: totals for key, totals in bank.world.totals(bank.dialect).items() if key in own}
    balances = ledger_balances(data)
    for key, account in own.items():
        if dialect == "rest" or account.number == "4711":
            assert balances[key] == (account.balance, account.balance)


def test_the_ledger_is_the_world_after_every_run_in_either_dialect(tmp_path: Path) -> None:
    world = World(today=AUTUMN)
    later = world.account("4712")
    world.accounts.remove(later)
    with a_bank(world) as bank:
        pending, first = world.append("4711", amount="-10.00", pending=True), world.append("4711", amount="-20.00")
        follows(bank, tmp_path, "graphql")

        world.book(pending, amount="-10.50")
        world.correct(first, amount="-21.00")
        world.append("4711", amount="33.00", pending=True)
        world.accounts.append(later)
        follows(bank, tmp_path, "rest")

        world.delete(first)
        world.correct(world.account("4711").newest_first()[20], amount="-3.33")
        world.live(8)  # everything is read once a week
        follows(bank, tmp_path, "graphql")
