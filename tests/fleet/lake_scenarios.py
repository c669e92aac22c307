"""What publishers of a lake must do. `test_lake.py` runs this file with a DuckDB that has the extensions of a lake."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sql

from pipelines.errors import Busy
from pipelines.fleet import lake as lakes
from pipelines.fleet import lake_catalog
from pipelines.fleet.lake import opened
from pipelines.fleet.lake_catalog import Lake, LakeBroken, LakeCatalog
from tests.consents.postgres import administer
from tests.fleet.lake_desk import BY_CELL, MANY, asked, attached, from_catalog
from tests.fleet.small_ledgers import small_ledger


def test_each_cell_is_there_with_the_sums_of_its_ledger(lake: Lake, tmp_path: Path) -> None:
    with opened(lake) as session:
        one = session.publish("cell-0001", small_ledger(tmp_path / "1.duckdb", ["1.10", "-0.20"]))
        other = session.publish("cell-0002", small_ledger(tmp_path / "2.duckdb", MANY))
        again = session.publish("cell-0002", tmp_path / "2.duckdb")

    assert (one, other, again) == ("published", "published", "unchanged")
    assert asked(lake, BY_CELL) == [("cell-0001", 2, Decimal("0.90")), ("cell-0002", 40, Decimal("824.00"))]
    assert asked(lake, "select cell, table_rows, transactions, amount, run_id from cell_marks order by cell") == [
        ("cell-0001", 4, 2, Decimal("0.90"), "r-20260901"),
        ("cell-0002", 42, 40, Decimal("824.00"), "r-20260901"),
    ]


def test_a_later_ledger_replaces_the_rows_and_brings_its_new_columns(lake: Lake, tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.publish("cell-0001", ledger, version=1)
        session.publish("cell-0002", small_ledger(tmp_path / "2.duckdb", MANY), version=1)
        small_ledger(ledger, ["5.00"])
        with duckdb.connect(ledger) as connection:
            connection.execute("alter table transactions add column note varchar; update transactions set note = 'new'")
        session.publish("cell-0001", ledger, version=2)
        findings = session.check({"cell-0001": ledger, "cell-0002": tmp_path / "2.duckdb"})

    assert findings == []
    assert asked(lake, "select cell, count(*), min(note) from transactions group by 1 order by 1") == [
        ("cell-0001", 1, "new"),
        ("cell-0002", 40, None),
    ]


def test_a_ledger_of_an_older_raw_history_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    with opened(lake) as session:
        session.publish("cell-0001", small_ledger(tmp_path / "new.duckdb", MANY), version=7)
        done = session.publish("cell-0001", small_ledger(tmp_path / "old.duckdb", ["1.00"]), version=6)

    assert (done, asked(lake, "select count(*) from transactions")) == ("outdated", [(40,)])


def test_a_column_of_another_type_is_refused_and_the_lake_stays(lake: Lake, tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
        with duckdb.connect(ledger) as connection:
            connection.execute("alter table transactions alter counterparty type integer using 1")
        with pytest.raises(LakeBroken, match=r"transactions\.counterparty is INTEGER in the ledger and VARCHAR in the lake"):
            session.publish("cell-0001", ledger)

    assert asked(lake, "select count(*), min(counterparty) from transactions") == [(40, "Ada Sample")]


OLD = ["cell-0001", "cell-0002"]


@pytest.mark.parametrize(("cells", "before"), [(["cell-0001"] * 2, []), (OLD, OLD)], ids=["one new cell", "two old cells"])
def test_two_publishers_at_once_leave_each_row_once(lake: Lake, tmp_path: Path, cells: list[str], before: list[str]) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.register(["cell-0000"])
        for cell in before:
            session.publish(cell, small_ledger(tmp_path / "old.duckdb", ["1.00"]))
    together = threading.Barrier(2)
    failures = at_once(*(lambda cell=cell: publish_at(together, lake, cell, ledger) for cell in cells))

    assert failures == []
    assert asked(lake, BY_CELL) == [(cell, 40, Decimal("824.00")) for cell in sorted({*cells})]


def publish_at(together: threading.Barrier, lake: Lake, cell: str, ledger: Path) -> None:
    with opened(lake) as session:
        together.wait()
        session.publish(cell, ledger)


def at_once(*steps: Callable[[], None]) -> list[BaseException]:
    """Runs the steps in threads; returns what they raised."""
    failures: list[BaseException] = []

    def kept(step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=kept, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_of_two_publishers_that_both_lost_the_lock_one_is_refused(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for the other, and both have inserted before either commits."""
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.register(["cell-0001"])
    monkeypatch.setattr(LakeCatalog, "publisher_lock", no_lock)
    both = threading.Barrier(2)
    monkeypatch.setattr(LakeCatalog, "confirm_lock", lambda _: both.wait())
    together = threading.Barrier(2)
    failures = at_once(*[lambda: publish_at(together, lake, "cell-0001", ledger)] * 2)

    assert [type(failure) for failure in failures] == [LakeBroken]
    assert asked(lake, BY_CELL) == [("cell-0001", 40, Decimal("824.00"))]


@contextmanager
def no_lock(_: LakeCatalog) -> Any:
    yield


def test_maintenance_waits_for_the_publisher_and_says_who_is_at_work(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_catalog, "PATIENCE", timedelta(milliseconds=50))
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    refused = []

    def meanwhile(_: LakeCatalog) -> None:
        with opened(lake) as other, pytest.raises(Busy) as raised:
            other.maintain()
        refused.append(str(raised.value))

    monkeypatch.setattr(LakeCatalog, "confirm_lock", meanwhile)
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
        session.maintain()
        findings = session.check({"cell-0001": ledger})

    assert refused == ["Another process publishes into the lake, or maintains it. Try again when it has finished."]
    assert (findings, asked(lake, BY_CELL)) == ([], [("cell-0001", 40, Decimal("824.00"))])


def test_maintenance_merges_files_and_changes_no_row(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "BUCKETS", 1)  # else these cells would share no file
    cells = ["cell-0001", "cell-0002", "cell-0003"]
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        for cell in cells:
            session.publish(cell, ledger)
        before = count_of_files(lake)
        session.maintain()
        findings = session.check(dict.fromkeys(cells, ledger))

    assert (before, count_of_files(lake), findings) == (3, 1, [])


def count_of_files(lake: Lake) -> int:
    query = "select count(*) from ducklake_list_files(current_database(), 'transactions')"
    return int(asked(lake, query)[0][0])


def test_a_publisher_that_is_killed_before_its_commit_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", ["1.00"])
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
    small_ledger(ledger, MANY)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, lake.catalog, lake.data, str(ledger)], cwd=Path(__file__).parents[2], env=os.environ
    )
    between = asked(lake, BY_CELL)
    files = set(Path(lake.data).rglob("*.parquet"))
    with opened(lake) as session:
        session.erase("cell-0001", ledger)
        findings = session.check({"cell-0001": ledger})

    assert (killed.returncode, between) == (-signal.SIGKILL, [("cell-0001", 1, Decimal("1.00"))])
    assert (findings, asked(lake, BY_CELL)) == ([], [("cell-0001", 40, Decimal("824.00"))])
    assert files
    assert not files & set(Path(lake.data).rglob("*.parquet"))


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.fleet.lake import opened
from pipelines.fleet.lake_catalog import Lake, LakeCatalog

LakeCatalog.confirm_lock = lambda _: os.kill(os.getpid(), signal.SIGKILL)
with opened(Lake(sys.argv[1], sys.argv[2])) as session:
    session.publish("cell-0001", Path(sys.argv[3]))
"""


def test_a_catalog_that_goes_away_before_the_commit_leaves_nothing_half(
    lake: Lake, postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", ["1.00"])
    name = sql.make_url(lake.catalog).database
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
    small_ledger(ledger, MANY)

    def stopped(catalog: LakeCatalog) -> None:
        end = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        administer(postgresql, f"alter database {name} with allow_connections false", end)

    with monkeypatch.context() as patch:
        patch.setattr(LakeCatalog, "confirm_lock", stopped)
        with opened(lake) as session, pytest.raises(LakeBroken, match="The lake cannot be used"):
            session.publish("cell-0001", ledger)
    with pytest.raises(LakeBroken, match="The lake cannot be used"), opened(lake):
        pass
    administer(postgresql, f"alter database {name} with allow_connections true")
    between = asked(lake, BY_CELL)
    with opened(lake) as session:
        done = session.publish("cell-0001", ledger)

    assert (between, done) == ([("cell-0001", 1, Decimal("1.00"))], "published")
    assert asked(lake, BY_CELL) == [("cell-0001", 40, Decimal("824.00"))]


def test_a_publisher_whose_lock_is_lost_commits_nothing(
    lake: Lake, postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed = LakeCatalog.confirm_lock

    def lost(catalog: LakeCatalog) -> None:
        ((holder,),) = held_by(lake)
        administer(postgresql, f"select pg_terminate_backend({holder})")
        confirmed(catalog)

    monkeypatch.setattr(LakeCatalog, "confirm_lock", lost)
    with opened(lake) as session, pytest.raises(LakeBroken, match="The publishers' lock of the lake is lost"):
        session.publish("cell-0001", small_ledger(tmp_path / "1.duckdb", MANY))

    assert asked(lake, "select table_name from duckdb_tables() where database_name = current_database()") == [("cell_marks",)]


def held_by(lake: Lake) -> list[tuple[int]]:
    return [tuple(row) for row in from_catalog(lake, "select pid from pg_locks where locktype = 'advisory'")]


def test_a_reader_in_a_loop_sees_whole_cells_only(lake: Lake, tmp_path: Path) -> None:
    """Each publication changes number and sum of the rows; a cell that was half there would not equal its mark."""
    ledgers = [small_ledger(tmp_path / f"{number}.duckdb", MANY[:number]) for number in (12, 40, 25)]
    with opened(lake) as session:
        session.publish("cell-0001", ledgers[0], version=0)
    over, answers = threading.Event(), []
    query = (
        "select m.cell, m.transactions, m.amount, count(*), sum(t.amount) from cell_marks m join transactions t using (cell)"
        " where m.digest is not null group by all"
    )

    def read() -> None:
        with attached(lake) as connection:
            while not over.is_set():
                answers.extend(connection.execute(query).fetchall())

    def publish() -> None:
        try:
            with opened(lake) as session:
                for version in range(1, 4):
                    session.publish("cell-0001", ledgers[version % 3], version)
                    session.publish("cell-0002", ledgers[version % 3], version)
        finally:
            over.set()

    failures = at_once(read, publish)

    assert failures == []
    assert len({answer[1] for answer in answers if answer[0] == "cell-0001"}) > 1  # it read while something changed
    assert [answer for answer in answers if (answer[1], answer[2]) != (answer[3], answer[4])] == []
