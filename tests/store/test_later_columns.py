"""A data folder of an earlier version goes on: its rows keep their versions when raw history gets further columns."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.store import load
from pipelines.store.banks import KONTIST
from sources.kontist.accounts import read_account
from sources.kontist.columns import LATER
from sources.kontist.source import RULES
from tests.histories import Raw, kontist, raw_history
from tests.plain_loads import by_dlt

ROWS = [kontist(2, "2026-03-02", -100, name="A", purpose="x"), kontist(1, "2026-03-01", 900)]


def of_earlier_times(raw: Raw) -> None:
    """Takes the later columns out of raw history, and gives each row the version that it had without them."""
    connection, then = (
        raw.history.connection,
        replace(KONTIST.shape, later=frozenset(), unversioned=KONTIST.shape.unversioned | LATER),
    )
    connection.execute(f"update kontist.transactions set row_version = {then.version()}")
    for table, columns in load.LATER_COLUMNS.items():
        for column in columns if table in ("kontist.transactions", "kontist.accounts") else ():
            connection.execute(f"alter table {table} drop column {column}")


@pytest.mark.parametrize("by", ["plain SQL", "dlt"])
def test_an_upgrade_makes_no_new_version_of_a_row(by: str, tmp_path: Path) -> None:
    with by_dlt() if by == "dlt" else nullcontext(), raw_history(tmp_path) as raw:
        raw.read({"A": ROWS})
        of_earlier_times(raw)
        versions = raw.query("select transaction_id, row_version, _dlt_valid_from from {t} order by all")

        assert raw.read({"A": ROWS}) == {"A": (0, 0, 0)}
        assert raw.query("select transaction_id, row_version, _dlt_valid_from from {t} order by all") == versions
        assert raw.query("select count(*) from kontist.accounts") == [(1,)]

        edited = [ROWS[0] | {"personal_note": "mine"}, ROWS[1]]
        assert raw.read({"A": edited}) == {"A": (0, 1, 0)}
        assert raw.current("source_transaction_id", "personal_note") == [("1", None), ("2", "mine")]
        assert raw.read({"A": edited}) == {"A": (0, 0, 0)}
        assert raw.faults() == []


def test_two_later_columns_do_not_pass_for_each_other() -> None:
    assert len({version(personal_note="x"), version(description="x"), version(), version(vat_rate="")}) == 4


def version(**more: Any) -> str:
    """Returns the version of one row, by SQL."""
    shown = pa.Table.from_pylist(  # noqa: F841  # read by its name in the query
        [{name: kontist(1, "2026-03-01", 5, **more).get(name) for name in KONTIST.shape.schema.names}],
        schema=KONTIST.shape.schema,
    )
    with duckdb.connect() as connection:
        ((found,),) = connection.execute(f"select {KONTIST.shape.version()} from shown").fetchall()
    return str(found)


def test_an_account_of_rest_is_the_one_that_it_was_before_the_later_columns() -> None:
    sent = {"id": 4711, "iban": "DE02120300000000202051", "balance": 5, "accountType": "FREELANCE", "name": "undescribed"}
    row = read_account(sent).row
    assert set(row) == {"source_account_id", "iban", "balance_cents", "account_type", "extra"}
    assert row["extra"] == '{"name":"undescribed"}'


def test_the_dlt_source_knows_the_same_later_columns() -> None:
    assert RULES.later == KONTIST.shape.later == LATER
