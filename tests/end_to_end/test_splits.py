"""A customer of Kontist divides payments and changes the parts: the ledger follows each read of the live service."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

from pipelines.read.options import Options
from pipelines.run.report import Report
from sources.sandbox import SandboxBank, Transaction, World
from tests.support import a_bank, read, rows, troubled


def read_live(bank: SandboxBank, data: Path) -> Report:
    """Reads Kontist by GraphQL and builds the ledger."""
    world = bank.world
    login = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
    login |= {"refresh_token": bank.kontist.oauth.pair()[1]}
    report = read(bank, data, Options(("kontist",)), kontist={"dialect": "graphql"} | login)
    assert troubled(report) == []
    return report


def divided(world: World) -> Counter[tuple[Any, ...]]:
    own = [row for account in world.accounts if account.bank == "kontist" for row in account.transactions]
    return Counter((row.cents, one.number, one.cents, one.category) for row in own for one in row.splits)


def in_the_ledger(data: Path) -> Counter[tuple[Any, ...]]:
    query = (
        "select cast(transactions.amount * 100 as bigint), split, cast(splits.amount * 100 as bigint), splits.category"
        " from transaction_splits as splits inner join transactions using (transaction_id)"
    )
    return Counter(rows(data, query))


def others(data: Path, row: Transaction) -> list[tuple[Any, ...]]:
    """Returns the other legs of the only movement with this amount."""
    query = (
        "select postings.leg, cast(postings.amount * 100 as bigint), ledger_account from postings"
        f" inner join transactions using (transaction_id) where transactions.amount = {row.amount} and leg > 1 order by leg"
    )
    return rows(data, query)


def test_a_payment_is_divided_edited_and_whole_again(tmp_path: Path) -> None:
    world = World(today=date(2026, 9, 1), transactions=60)
    with a_bank(world) as bank:
        paid = world.append("4711", amount="-123.45")
        read_live(bank, tmp_path)
        assert in_the_ledger(tmp_path) == divided(world) != Counter()
        assert others(tmp_path, paid) == [(2, 12345, "Expenses:Uncategorised")]

        world.divide(paid, ("-100.00", "VAT_19"), ("-23.45", "PRIVATE"))
        report = read_live(bank, tmp_path)
        assert sum(one.counts.changed for one in report.outcomes) == 1
        assert in_the_ledger(tmp_path) == divided(world)
        assert others(tmp_path, paid) == [
            (5, 8403, "Expenses:Business"),
            (6, 2345, "Equity:Private"),
            (1005, 1597, "Assets:Input-VAT"),
        ]

        world.divide(paid, ("-90.00", "VAT_19"), ("-23.45", "PRIVATE"))
        report = read_live(bank, tmp_path)
        assert others(tmp_path, paid) == [(2, 12345, "Expenses:Uncategorised")]
        assert [one for one in report.notes if "splits" in one] == [
            "1 transaction booked as a whole, because the bank's splits do not sum to the amount (`transaction_splits`)"
        ]

        world.divide(paid)
        read_live(bank, tmp_path)
        assert in_the_ledger(tmp_path) == divided(world)
        assert others(tmp_path, paid) == [(2, 12345, "Expenses:Uncategorised")]
        assert rows(tmp_path, "select count(*) from transaction_history where amount = -123.45") == [(4,)]
