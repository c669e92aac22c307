"""A source names and versions rows in Arrow as raw history does in SQL, whatever a bank shows."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.changes.diff import Differ
from pipelines.read.outcome import Answer, Outcome
from pipelines.settings import Settings
from pipelines.store.banks import KONTIST, KONTOMATIK, Bank
from sources._columns import read_by_source
from sources._spool import SpoolFile
from sources._versions import Rules, Shown, Window, identified
from sources.kontist.source import RULES as KONTIST_RULES
from sources.kontomatik.source import RULES as KONTOMATIK_RULES

FIRST = date(2026, 3, 1)
VALUES: dict[pa.DataType, Any] = {
    pa.string(): st.sampled_from(["", "DONE", "done", "PENDING", "Łódź \x1f | 'x'", "\U0001f600"]),
    pa.date32(): st.dates(FIRST, FIRST + timedelta(days=2)),
    pa.int64(): st.integers(-3, 3),
    pa.timestamp("us", tz="UTC"): st.integers(0, 10**15).map(
        lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    ),
    pa.decimal128(18, 2): st.decimals(-1, 1, places=2, allow_nan=False),
}
OFTEN_THE_SAME = {"amount": st.sampled_from([Decimal("-1.50"), Decimal("0.05")]), "amount_cents": st.sampled_from([-100, 100])}


@pytest.fixture(scope="module")
def history(empty_raw: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Raw history with nothing in it."""
    with duckdb.connect(empty_raw, read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


@st.composite
def shown(draw: st.DrawFn, schema: pa.Schema) -> list[dict[str, Any]]:
    """Draws up to ten rows of three days, newest first; ids of the bank are never the same."""
    rows = []
    for number in range(draw(st.integers(0, 10))):
        row = {}
        for column in schema:
            values = OFTEN_THE_SAME.get(column.name, VALUES[column.type])
            row[column.name] = draw(st.none() | values if column.nullable else values)
        rows.append(row | ({"source_transaction_id": f"{number}"} if "source_transaction_id" in schema.names else {}))
    return sorted(rows, key=lambda row: str(row["window_on"]), reverse=True)


@pytest.mark.parametrize(
    ("bank", "rules"), [(KONTIST, KONTIST_RULES), (KONTOMATIK, KONTOMATIK_RULES)], ids=["kontist", "kontomatik"]
)
@settings(max_examples=25)
@given(data=st.data())
def test_ids_numbers_and_versions_are_those_of_raw_history(
    history: duckdb.DuckDBPyConnection, bank: Bank, rules: Rules, data: st.DataObject
) -> None:
    columns = read_by_source(bank.shape.schema)
    rows, newest_first = data.draw(shown(columns)), data.draw(st.booleans())
    since = data.draw(st.none() | st.dates(FIRST, FIRST + timedelta(days=2)))
    with tempfile.TemporaryDirectory() as folder:
        spool = SpoolFile(Path(folder) / "rows.parquet", columns)
        in_order = rows if newest_first else rows[::-1]
        first = data.draw(st.integers(0, len(rows)))  # the newest rows may be written last, in front of the others
        for part, write in ((in_order[first:], spool.add), (in_order[:first], spool.add_in_front)):
            if part:
                write(pa.RecordBatch.from_pylist(part, schema=columns))
        outcome = Outcome(bank.name, datetime(2026, 3, 20, tzinfo=UTC), account_id="bank:a")
        answer = Answer(
            outcome=outcome,
            account={"currency": "EUR"},
            spool=spool,
            depth="full",
            since=since,
            as_of=date(2026, 3, 20),
            newest_first=newest_first,
        )
        differ = Differ(history, Settings().thresholds)
        in_sql = [row for batch in differ.rows(differ.diff(bank.shape, answer), bank.shape.schema) for row in batch.to_pylist()]
        window = Window(since)
        arrow = identified(rules, Shown(account_id="bank:a", file=spool.close(), newest_first=newest_first), window)
        in_arrow = [row for batch in arrow for row in batch.to_pylist()]

    expected = [{name: row[name] for name in rules.schema.names} for row in in_sql if window.holds(row["window_on"])]
    assert sorted(in_arrow, key=repr) == sorted(expected, key=repr)
