"""What most tests load raw history with does to it what dlt does."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.store.load import TABLES, Changeset, _load_by_dlt, _source, load
from pipelines.store.raw_copy import RawCopy, opened
from sources._merge_scopes import HELPER_TABLES, MOVED_ROWS, READ_WINDOWS, is_versioned
from tests import plain_loads
from tests.histories import Raw, kontist, kontomatik, raw_history

HELD = frozenset({"import_id", "_dlt_valid_from", "_dlt_valid_to"})


def life(raw: Raw) -> None:
    """Rows come, change, move, go and come back, a reservation is booked, windows are of every kind, an account goes."""
    if raw.dataset == "kontist":
        many = [kontist(n, f"2026-03-{n:02d}", 100 * n) for n in range(12, 0, -1)]
        changed, moved = many[2] | {"purpose": "another text"}, many[8] | {"window_on": many[3]["window_on"]}
        held, booked = kontist("r", "2026-03-12", -80, pending=True), kontist("r", "2026-03-13", -80)
    else:
        many = [kontomatik(f"2026-03-{n:02d}", f"{n}.00") for n in range(12, 0, -1)]
        changed, moved = many[2] | {"title": "another text"}, many[8] | {"booked_on": many[3]["window_on"]}
        held, booked = kontomatik("2026-03-12", "-80.00", pending=True), kontomatik("2026-03-12", "-80.00", booked="2026-03-13")
    raw.read({"A": [held, *many], "B": many[:3]})
    raw.read({"A": [held, *many], "B": many[:3]})
    raw.read({"A": [booked, *many[:2], changed, *many[3:]]}, "2026-03-05")
    raw.balance_cents = 500
    raw.read({"A": [moved, booked, many[0], changed, *many[3:8], *many[9:]], "B": many[:2]})
    raw.read({"A": [booked, *many[:6]], "B": []}, "2026-03-07")
    raw.read({"A": [booked, *many], "B": many[:3]}, complete=False)
    raw.read({"A": [], "B": many})


def left(raw: Raw) -> dict[str, Any]:
    """All rows of all versioned tables, by load instead of by time, and the cursors."""
    found: dict[str, Any] = {"cursors": raw.cursors()}
    for name, schema in TABLES[raw.dataset].items():
        if is_versioned(schema):
            columns = ", ".join(column for column in schema.names if column not in HELD)
            at = f"(select count(distinct b._dlt_valid_from) from {raw.dataset}.{name} b where b._dlt_valid_from <= {{}})"
            found[name] = raw.query(
                f"select {columns}, {at.format('a._dlt_valid_from')}, a._dlt_valid_to is null,"
                f" {at.format('a._dlt_valid_to')} from {raw.dataset}.{name} a order by all"
            )
    return found


@pytest.mark.parametrize("dataset", ["kontist", "kontomatik"])
def test_plain_sql_leaves_what_dlt_leaves(dataset: str, tmp_path: Path, empty_raw: Path) -> None:
    (tmp_path / "raw.duckdb").write_bytes(empty_raw.read_bytes())
    with plain_loads.by_dlt(), raw_history(tmp_path, dataset) as raw:
        life(raw)
        by_dlt = left(raw)
    (tmp_path / "new").mkdir()
    with raw_history(tmp_path / "new", dataset) as raw:
        load(raw.history, Changeset(dataset))
        life(raw)
        assert left(raw) == by_dlt
    assert len(by_dlt["transactions"]) > 20


@pytest.mark.parametrize("dataset", ["kontist", "kontomatik"])
@pytest.mark.usefixtures("by_dlt")
def test_tables_that_are_made_before_the_first_load_are_those_that_dlt_would_make(dataset: str, tmp_path: Path) -> None:
    def tables(history: RawCopy) -> list[tuple[Any, ...]]:
        query = "select schema_name, table_name, sql from duckdb_tables() where starts_with(schema_name, ?) order by all"
        return history.connection.execute(query, [dataset]).fetchall()

    with opened(tmp_path) as (history, _):
        load(history, Changeset(dataset))
        of_dlt_beside_ours = tables(history)
    (tmp_path / "new").mkdir()
    with opened(tmp_path / "new") as (history, _):
        history.connection.execute(f"create schema {dataset}; {HELPER_TABLES.format(dataset=dataset)}")  # its merges read them
        _load_by_dlt(history, dataset, lambda: _source(dataset, {}, {}, all_tables=True))
        made_by_dlt = tables(history)

    own = {name for name, schema in TABLES[dataset].items() if not is_versioned(schema)} | {READ_WINDOWS, MOVED_ROWS}
    assert [one for one in of_dlt_beside_ours if one[1] not in own] == [one for one in made_by_dlt if one[1] not in own]
    assert len(made_by_dlt) > 10
