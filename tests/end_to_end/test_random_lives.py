"""Random lives of both banks, read by whole runs: whatever happened in between, the ledger is the world."""

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.support import a_bank, assert_the_ledger_is_the_world, read, rows

NAMES = ("4711", "4712", "Konto Start", "Konto Walutowe", "Visa Test")
KNOWN = "select account_id from kontist.accounts union select account_id from kontomatik.accounts"
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["append", "reserve", "book", "correct", "delete", "insert", "live"]),
        st.sampled_from(NAMES),
        st.integers(0, 8),
        st.integers(-500, 500),
    ),
    min_size=3,
    max_size=9,
)


def change(world: World, what: str, name: str, number: int, cents: int) -> None:
    """One thing that happens at a bank. `number` chooses among the rows that the next run looks at, or counts days back."""
    recent = world.today - timedelta(days=8)
    newest = [row for row in world.account(name).transactions if min(row.day, row.booked_on or row.day) >= recent]
    row = newest[number % len(newest)] if newest else None
    amount = f"{cents / 100:.2f}"
    if what == "append" or row is None:
        world.append(name, amount=amount)
    elif what == "reserve":
        world.append(name, amount=amount, pending=True)
    elif what == "book" and row.booked_on is None:
        world.book(row, amount=amount if number % 2 else None)
    elif what == "correct":
        world.correct(row, amount=amount if number % 2 else None, description=f"corrected {cents}")
    elif what == "delete":
        world.delete(row)
    elif what == "insert":
        world.insert(name, world.today - timedelta(days=number), amount)
    elif what == "live" and number < 3:
        world.live(days=number + 1)


@given(dialect=st.sampled_from(["openapi", "live"]), steps=st.lists(CHANGES, min_size=2, max_size=2), seed=st.integers(1, 5))
@settings(max_examples=2, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
def test_the_ledger_is_the_world_after_every_run(dialect: Any, steps: list[Any], seed: int) -> None:
    world = World(seed, today=date(2024, 10, 12))
    with a_bank(world, dialect=dialect) as bank, tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        read(bank, data, ledger=False)
        for changes in steps:
            for one in changes:
                change(world, *one)
            everybody = tuple(name for (name,) in rows(data, KNOWN, of="raw"))
            report = read(bank, data, Options(accept_removals=everybody))
            assert [outcome.reason for outcome in report.outcomes if outcome.troubled] == []
            assert_the_ledger_is_the_world(data, bank)
        _assert_history_is_sound(data, bank)


def _assert_history_is_sound(data: Path, bank: SandboxBank) -> None:
    """One current version a transaction, and versions that follow each other."""
    for dataset in ("kontist", "kontomatik"):
        overlapping = f"""
            select a.transaction_id from {dataset}.transactions a join {dataset}.transactions b using (transaction_id)
            where a._dlt_valid_from < b._dlt_valid_from and (a._dlt_valid_to is null or a._dlt_valid_to > b._dlt_valid_from)
            union all
            select transaction_id from {dataset}.transactions where _dlt_valid_to is null group by all having count(*) > 1
            """
        assert rows(data, overlapping, of="raw") == []
    shown = sum(totals.booked_count + totals.pending_count for totals in bank.world.totals(bank.dialect).values())
    assert rows(data, "select count(*) from transactions") == [(shown,)]
