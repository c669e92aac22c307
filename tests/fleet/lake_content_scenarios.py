"""What a lake holds: nothing of an erased person, nothing readable past its catalog, nothing that the ledgers do not hold.

`test_lake.py` runs this file in an environment whose DuckDB has the extensions of a lake.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sql

from pipelines.errors import Failure
from pipelines.fleet.lake import opened
from pipelines.fleet.lake_catalog import Lake
from pipelines.store.ledger_reader import LedgerUnreadable
from tests.fleet.lake_desk import BY_CELL, MANY, asked, from_catalog
from tests.fleet.small_ledgers import BUILT, small_ledger


@pytest.mark.parametrize(
    ("name", "amounts"), [("Zzyzx Erased", [*MANY, "987654321.99"]), ("Aaron Erased", ["987654321.99"])], ids=["file", "catalog"]
)
def test_an_erasure_leaves_no_byte_of_the_person(lake: Lake, tmp_path: Path, name: str, amounts: list[str]) -> None:
    """A few rows are in the catalog, many in files. The catalog keeps the smallest and the largest text of each column."""
    ledger = small_ledger(tmp_path / "1.duckdb", amounts, holder=name)
    other = small_ledger(tmp_path / "2.duckdb", MANY, holder="Mo Stays")
    with opened(lake) as session:
        session.publish("cell-0001", ledger, version=1)
        session.publish("cell-0002", other, version=1)
        session.maintain()
        before = everything(lake)
        session.erase("cell-0001", small_ledger(ledger, [], holder="Mo Stays"), version=2)
        findings = session.check({"cell-0001": ledger, "cell-0002": other})
        marks = session.marks()

    assert name in before
    assert "987654321.99" in before
    left = everything(lake)
    assert (name in left, "987654321.99" in left, "Mo Stays" in left) == (False, False, True)
    assert (findings, marks["cell-0001"].purged_version, marks["cell-0002"].purged_version) == ([], 2, 0)
    assert asked(lake, "select count(*), max(amount), max(counterparty) from transactions where counterparty <> ''") == [
        (40, Decimal("40.10"), "Mo Stays")
    ]


def test_bounds_that_an_erasure_has_widened_hide_no_row(lake: Lake, tmp_path: Path) -> None:
    """A query whose condition is outside of the bounds reads nothing."""
    with opened(lake) as session:
        session.erase("cell-0001", small_ledger(tmp_path / "1.duckdb", ["-70000000.00", *MANY], holder="0 first"), version=1)
    first = asked(lake, "select count(*) from transactions where counterparty = '0 first' and amount = -70000000")
    with opened(lake) as session:
        session.publish("cell-0002", small_ledger(tmp_path / "2.duckdb", [*MANY, "80000000.00"], holder="Ω last"), version=1)
    both = asked(lake, "select counterparty, amount from transactions where amount < -1000 or amount > 1000 order by amount")
    last = asked(lake, "select count(*) from transactions where counterparty = 'Ω last' and amount = 80000000")

    assert (first, last) == ([(1,)], [(1,)])
    assert both == [("0 first", Decimal("-70000000.00")), ("Ω last", Decimal("80000000.00"))]


def everything(lake: Lake) -> str:
    """The text of all rows of the catalog's tables, and of all rows and bytes of the files."""
    tables = [
        row[0] for row in from_catalog(lake, "select table_name from information_schema.tables where table_schema = 'public'")
    ]
    found = [str(row[0]) for table in tables for row in from_catalog(lake, f'select t::text from "{table}" as t')]
    for path in Path(lake.data).rglob("*.parquet"):
        found.append(path.read_bytes().decode("latin-1"))
        found += [row[0] for row in duckdb.execute(f"select t::varchar from read_parquet('{path}') as t").fetchall()]
    return "\n".join(found)


def test_an_encrypted_lake_can_be_read_only_through_its_catalog(lake: Lake, tmp_path: Path) -> None:
    lake = replace(lake, encrypted=True)
    with opened(lake) as session:
        session.publish("cell-0001", small_ledger(tmp_path / "1.duckdb", MANY))
    with opened(lake) as session:
        findings = session.check({"cell-0001": tmp_path / "1.duckdb"})
    files = list(Path(lake.data).rglob("*.parquet"))

    assert (findings, asked(lake, BY_CELL)) == ([], [("cell-0001", 40, Decimal("824.00"))])
    assert files
    for path in files:
        with pytest.raises(duckdb.Error, match=r"(?i)encrypt"):
            duckdb.execute(f"select * from read_parquet('{path}')")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("update transactions set amount = amount + 0.01 where transaction_id = 't-7'", "40 transactions"),
        ("delete from transactions where transaction_id = 't-7'", "39 transactions"),
        ("delete from cell_marks", "its mark says nothing"),
    ],
)
def test_a_lake_that_somebody_else_has_changed_is_found(lake: Lake, tmp_path: Path, change: str, sentence: str) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
        session._connection.execute(f"use lake; {change}; use memory")
        findings = session.check({})

    assert len(findings) == 1
    assert sentence in findings[0]


def test_a_ledger_that_differs_from_what_was_published_of_it_is_found(lake: Lake, tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "1.duckdb", MANY)
    with opened(lake) as session:
        session.publish("cell-0001", ledger)
        small_ledger(ledger, MANY[:39])
        altered = session.check({"cell-0001": ledger})
        small_ledger(ledger, MANY[:39], built=BUILT + timedelta(days=1))
        later = session.check({"cell-0001": ledger})

    assert [finding.partition(" has ")[0] for finding in altered] == ["cell-0001: its ledger"]
    assert later == []


def test_an_address_with_odd_characters_reaches_the_database_and_no_error_shows_it(lake: Lake, tmp_path: Path) -> None:
    url = sql.make_url(lake.catalog)
    odd = replace(lake, catalog=url.update_query_dict({"application_name": "a'b \\c"}).render_as_string(hide_password=False))
    with opened(odd) as session:
        session.register(["cell-0001"])
    away = Lake(url.set(database="nowhere", password="my secret").render_as_string(hide_password=False), lake.data)
    with pytest.raises(Failure) as raised, opened(away):
        pass

    assert asked(odd, "select cell from cell_marks") == [("cell-0001",)]
    assert "my secret" not in f"{raised.value} {away!r}"


def test_a_ledger_that_is_damaged_is_named_and_the_session_publishes_the_next(lake: Lake, tmp_path: Path) -> None:
    right, damaged = small_ledger(tmp_path / "1.duckdb", MANY), small_ledger(tmp_path / "2.duckdb", MANY)
    whole = damaged.read_bytes()
    with opened(lake) as session:
        session.publish("cell-0002", damaged)
        for spoilt in (b"no ledger", b"", whole[:12288] + bytes(len(whole) - 12288)):
            damaged.write_bytes(spoilt)
            with pytest.raises(LedgerUnreadable, match=r"2\.duckdb cannot be read"):
                session.publish("cell-0002", damaged)
            assert session.check({"cell-0002": damaged}) == []
        done = session.publish("cell-0001", right)

    assert done == "published"
    assert [(cell, count) for cell, count, _ in asked(lake, BY_CELL)] == [("cell-0001", 40), ("cell-0002", 40)]
