"""A field that the live service refuses is no news: what is known of it stays, and nothing is edited to and fro."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.read.options import Options
from sources.kontist.queries import OPTIONAL
from sources.kontist.unasked import unasked_columns
from sources.sandbox import SandboxBank, World
from tests.reading_kontist.test_refused_fields import live
from tests.support import AUTUMN, a_bank, read, rows, troubled

_INSIDE = ("TransactionSplit", "TransactionFee")
ALL_OPTIONAL = {".".join(one) for one in OPTIONAL if one[0] not in ("Query", "TransferType", *_INSIDE)}
SPLITS = [("-0.30", "VAT_19"), ("-0.93", "PRIVATE")]


def counts(bank: SandboxBank, data: Path, **options: Any) -> tuple[int, int, int]:
    """Reads Kontist; returns the transactions that were new, changed and removed."""
    report = read(bank, data, Options(("kontist",), **options), ledger=False, kontist=live(bank))
    assert troubled(report) == []
    found = report.banks[0].counts
    return found.new, found.changed, found.removed


def versions(data: Path) -> list[list[tuple[Any, ...]]]:
    """The ids and hashes of all versions, by table."""
    tables = {
        "transactions": "transaction_id",
        "accounts": "account_id",
        "standing_orders": "order_id",
        "timed_orders": "order_id",
    }
    return [rows(data, f"select {own}, row_version from kontist.{name} order by all", of="raw") for name, own in tables.items()]


def splits(data: Path) -> list[str]:
    query = "select splits from kontist.transactions where amount_cents = -123 and _dlt_valid_to is null"
    found = rows(data, query, of="raw")
    return [one for (one,) in found]


@pytest.mark.parametrize("lacks", [ALL_OPTIONAL, {"TransactionSplit.vatRate", "TransactionSplit.id"}])
def test_fields_that_are_refused_for_a_week_change_nothing(tmp_path: Path, lacks: set[str]) -> None:
    world = World(today=AUTUMN, transactions=40)
    world.divide(world.append("4711", amount="-1.23"), *SPLITS)
    with a_bank(world) as bank:
        counts(bank, tmp_path)
        before = versions(tmp_path)
        bank.kontist.graphql.lacks = set(lacks)
        assert counts(bank, tmp_path) == (0, 0, 0)
        requests = bank.count("POST", "/graphql")
        assert counts(bank, tmp_path) == (0, 0, 0)
        assert bank.count("POST", "/graphql") - requests == 1 + 2 + 1, "what is not asked for is no reason to read on"
        assert counts(bank, tmp_path, full_refresh=True) == (0, 0, 0)
        assert versions(tmp_path) == before
        world.clock.advance(timedelta(days=7))  # which moves the next days of orders
        bank.kontist.graphql.lacks = set()
        assert counts(bank, tmp_path) == (0, 0, 0)
    assert versions(tmp_path)[:2] == before[:2]


def test_a_row_that_changes_meanwhile_keeps_what_was_not_asked_for(tmp_path: Path) -> None:
    world = World(today=AUTUMN, transactions=40)
    row = world.append("4711", amount="-1.23", party="Before")
    world.divide(row, *SPLITS)
    with a_bank(world) as bank:
        counts(bank, tmp_path)
        (before,) = splits(tmp_path)
        bank.kontist.graphql.lacks = {"Transaction.splits"}
        world.correct(row, party="After")
        assert counts(bank, tmp_path) == (0, 1, 0)
        assert splits(tmp_path) == [before]
        world.divide(row, ("-0.50", "VAT_7"), ("-0.73", "PRIVATE"))
        assert counts(bank, tmp_path) == (0, 0, 0)
        bank.kontist.graphql.lacks = set()
        assert counts(bank, tmp_path, full_refresh=True) == (0, 1, 0), "now the bank says what it said meanwhile, too"
        assert splits(tmp_path) != [before]


def test_splits_that_are_asked_for_in_part_are_news_only_when_that_part_changes(tmp_path: Path) -> None:
    world = World(today=AUTUMN, transactions=40)
    row = world.append("4711", amount="-1.23")
    world.divide(row, *SPLITS)
    with a_bank(world) as bank:
        counts(bank, tmp_path)
        bank.kontist.graphql.lacks = {"TransactionSplit.vatRate"}
        assert counts(bank, tmp_path) == (0, 0, 0)
        world.divide(row, ("-0.50", "VAT_7"), ("-0.73", "PRIVATE"))
        assert counts(bank, tmp_path) == (0, 1, 0)
        (now,) = splits(tmp_path)
        assert '"amount":-50' in now and "vatRate" not in now


def test_the_fields_that_a_read_learns_to_leave_out_are_named_once(tmp_path: Path) -> None:
    with a_bank(World(today=AUTUMN, transactions=20)) as bank:
        bank.kontist.graphql.lacks = {"Transaction.splits"}
        notes = [read(bank, tmp_path, Options(("kontist",)), ledger=False, kontist=live(bank)).notes for _ in range(2)]
    named = [[one for one in of if "Transaction.splits" in one] for of in notes]
    assert [len(one) for one in named] == [1, 0]


def test_every_optional_field_names_its_column() -> None:
    for kind, name in OPTIONAL:
        found = unasked_columns({(kind, name)}, further=kind == "SubAccount")
        is_named = any(found.values())
        assert is_named == (
            kind not in ("Query", "TransferType") and (kind, name) not in {("TransactionSplit", "id"), ("Transfer", "uuid")}
        )
