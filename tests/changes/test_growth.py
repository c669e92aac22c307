"""What comparing an answer costs grows with the answer, and not faster: processor time at five times the rows, over time.

Proportions hold on any machine, seconds do not. Each time is the best of several, of this process alone. The memory is as small
for these rows as that of a small server is for a million: an order or a window that carries too much spills to disk.
"""

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.changes.diff import Differ
from pipelines.read.outcome import Answer, Outcome
from pipelines.settings import Settings
from pipelines.store.raw_copy import opened
from sources._columns import read_by_source
from sources._spool import SpoolFile
from tests.histories import NOON, Raw

FEW, MANY = 40_000, 200_000
SHOWN = 2_000
"""Rows that a shallow read shows."""
LAST_DAY = date(2026, 3, 1)

_ROWS = """
    select
        date '{last}' - cast(i // 100 as integer) as window_on, concat('id-', {newest} - i) as source_transaction_id,
        cast(hash(i) % 1000 as bigint) as amount_cents, concat('Party ', hash(i) % 500) as name, concat('Invoice ', i) as purpose,
        timestamptz '2026-03-01 06:00:00Z' as booking_date, timestamptz '2026-03-01 06:00:00Z' as valuta_date,
        'SEPA_CREDIT_TRANSFER' as booking_type, cast(i as bigint) as position
    from range({rows}) as numbers (i)
"""


@pytest.fixture
def seconds(tmp_path: Path) -> Callable[..., float]:
    """Processor seconds of the best of some comparisons, of a history and an answer of this number of rows."""

    def measured(known: int, shown: int, since: date | None, memory: str) -> float:
        folder = tmp_path / f"{known}-{shown}"
        folder.mkdir()
        with opened(folder, memory=memory) as (history, _):
            raw = Raw("kontist", history)
            raw.cursors()
            history.connection.execute("set threads = 2")  # each needs memory of its own
            _fill(raw, known)
            spool = _spooled(raw, shown)
            outcome = Outcome("kontist", NOON, account_id="A")
            answer = Answer(outcome=outcome, account={}, spool=spool, depth="full", since=since, as_of=LAST_DAY)
            differ, times = Differ(history.connection, Settings().thresholds), []
            for _ in range(3):
                begun = time.process_time()
                diff = differ.diff(raw.shape, answer)
                times.append(time.process_time() - begun)
                assert (diff.counts.new, diff.counts.changed, diff.counts.removed) == (0 if known else shown, 0, 0)
                history.connection.execute(f"drop table {diff.table}")
        return min(times)

    return measured


def test_a_first_answer_costs_as_much_as_it_has_rows(seconds: Callable[..., float]) -> None:
    assert seconds(0, MANY, None, "64MiB") / seconds(0, FEW, None, "64MiB") <= 6


def test_rows_before_the_window_cost_what_is_shown_of_them_and_not_what_is_known(seconds: Callable[..., float]) -> None:
    since = LAST_DAY - timedelta(days=10)

    assert seconds(MANY, SHOWN, since, "256MiB") / seconds(FEW, SHOWN, since, "256MiB") <= 2.2


def _spooled(raw: Raw, rows: int) -> SpoolFile:
    schema = read_by_source(raw.shape.schema)
    spool = SpoolFile(raw.history.work / "shown.parquet", schema)
    columns = ", ".join([*schema.names, "position"])
    raw.history.connection.execute(
        f"copy (select {columns} from ({_given(raw, rows)}) order by position) to '{spool.path}' (format parquet)"
    )
    spool.rows = rows
    return spool


def _fill(raw: Raw, rows: int) -> None:
    """Loads the rows as they are shown, by plain SQL."""
    raw.history.connection.execute(
        f"""
        insert into {raw.shape.table} by name
        select * exclude (position) replace (
            'A' as account_id, {raw.shape.version()} as row_version, concat('A:', source_transaction_id) as transaction_id,
            timestamptz '2026-03-01 08:00:00Z' as _dlt_valid_from, 1 as occurrence, 0 as position_in_day, 'i' as import_id
        )
        from ({_given(raw, rows)})
        """
    )


def _given(raw: Raw, rows: int) -> str:
    """Returns SQL for rows with all columns of the table."""
    return f"(from {raw.shape.table} limit 0) union all by name ({_ROWS.format(last=LAST_DAY, newest=10_000_000, rows=rows)})"
