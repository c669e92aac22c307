"""Kontist's live service through whole runs: after each, the ledger is the world, also when the dialect changes in between."""

from pathlib import Path
from typing import Any

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.support import AUTUMN, a_bank, ledger_balances, ledger_totals, read, rows, troubled

MEMOS = "select cast(amount * 100 as bigint) from transactions where status = 'memo' order by all"
SPLITS = "select split, cast(amount * 100 as bigint) from transaction_splits where status = 'posted' order by all"


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
    # REST shows neither of them
    shown = dialect == "graphql"
    divided = [(part.number, part.cents) for account in own.values() for row in account.transactions for part in row.splits]
    assert rows(data, MEMOS) == sorted((memo.cents,) for memo, *_ in bank.world.memos if shown)
    assert rows(data, SPLITS) == (sorted(divided) if shown else [])


def test_the_ledger_is_the_world_after_every_run_in_either_dialect(tmp_path: Path) -> None:
    world = World(today=AUTUMN)
    later = world.account("4712")
    world.accounts.remove(later)
    with a_bank(world) as bank:
        pending, first = world.append("4711", amount="-10.00", pending=True), world.append("4711", amount="-20.00")
        typed = world.memo("4711", amount="-7.70")
        world.divide(first, ("-15.00", "VAT_19"), ("-5.00", "PRIVATE"))
        follows(bank, tmp_path, "graphql")

        world.divide(first, ("-12.00", "VAT_19"), ("-9.00", "PRIVATE"))
        world.book(pending, amount="-10.50")
        world.correct(first, amount="-21.00")
        world.append("4711", amount="33.00", pending=True)
        world.accounts.append(later)
        world.memo("4712", amount="0.00", source="SOLARIS", kind="FAILED_CARD_USAGE")
        follows(bank, tmp_path, "graphql")
        follows(bank, tmp_path, "rest")

        world.delete(first)
        world.forget(typed)
        world.divide(world.append("4711", amount="-9.99"), ("-9.00", "VAT_7"), ("-0.99", "PRIVATE"))
        world.correct(world.account("4711").newest_first()[20], amount="-3.33")
        world.live(8)  # everything is read once a week
        follows(bank, tmp_path, "graphql")
