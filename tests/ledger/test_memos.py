"""Memos are kept, and move nothing: whatever they say, every other table of the ledger is as it would be without them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.kontist.memos import REASONS
from tests.ledger.test_random_worlds import LOADS, World, raw_rows, worlds
from tests.ledger.worlds import LEDGER, MODELS, Row, built
from transforms.checks import run_checks

SHOW_MEMOS = {"about", "transactions", "transactions_enriched", "transaction_history", "transaction_details", "changes"}
memos = st.lists(
    st.fixed_dictionaries(
        {
            "memo": st.sampled_from(sorted(REASONS)),
            "amount_cents": st.integers(-10_000, 10_000),
            "booking_date": st.integers(-30, 30).map(lambda days: datetime(2026, 3, 4, 12, tzinfo=UTC) + timedelta(days=days)),
            "valuta_date": st.none() | st.just(datetime(2026, 3, 4, tzinfo=UTC)),
            "booking_type": st.sampled_from(["EXTERNAL_TRANSACTION_CASH", "FAILED_CARD_USAGE"]),
            "name": st.sampled_from([None, "Bakery", "Own account"]),
            "iban": st.sampled_from([None, "PL1", "DE9"]),
            "e2e_id": st.sampled_from([None, "E-1"]),
            "valid_from": st.sampled_from(LOADS[:2]),
            "valid_to": st.sampled_from([None, LOADS[2]]),
        }
    ),
    min_size=3,
    max_size=6,
)


def contents(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """All rows of every table that is not about single rows of the bank, and the movements."""
    tables = {name: f"select * from ledger.{name}" for name in LEDGER if name not in SHOW_MEMOS}
    tables["movements"] = "select * from ledger.transactions where status <> 'memo'"
    return {name: connection.execute(f"{query} order by all").fetchall() for name, query in tables.items()}


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds, memos)
def test_memos_move_no_balance_posting_or_coverage(world: World, said: list[Row]) -> None:
    rows = raw_rows(world)
    numbered: list[Row] = [one | {"source_transaction_id": f"m-{number}"} for number, one in enumerate(said)]
    with built(rows) as without, built(rows | {"kontist.transactions": [*rows["kontist.transactions"], *numbered]}) as connection:
        assert contents(connection) == contents(without)
        assert [result.name for result in run_checks(connection, MODELS) if not result.passed] == []
        found = connection.execute("select count(*) from ledger.transaction_history where status = 'memo' and change = 'new'")
        assert found.fetchall() == [(len(numbered),)]
