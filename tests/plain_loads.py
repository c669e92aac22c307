"""Raw history loaded by plain SQL in place of dlt, whose load costs more than all else that a small read does.

`tests/store/test_plain_loads.py` holds that both leave the same rows.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from pipelines.store import load
from pipelines.store.raw_copy import RawCopy
from sources._merge_scopes import scope

Said = tuple[Mapping[str, load.Batches], Mapping[str, Any], bool]
_REAL = load._source, load._load_by_dlt


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads by plain SQL until `monkeypatch` is undone."""
    monkeypatch.setattr(load, "_source", lambda _, said, cursors, *, all_tables: (said, cursors, all_tables))
    monkeypatch.setattr(load, "_load_by_dlt", _load)


@contextmanager
def by_dlt() -> Iterator[None]:
    """Loads by dlt inside the block."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(load, "_source", _REAL[0])
        monkeypatch.setattr(load, "_load_by_dlt", _REAL[1])
        yield


def _load(history: RawCopy, dataset: str, source: Callable[[], Said]) -> None:
    said, cursors, all_tables = source()
    now = datetime.now(UTC)
    if all_tables:
        _make_own_tables(history, dataset)
    for name, batches in said.items():
        _keep_versions(history, dataset, name, pa.Table.from_batches(batches(), schema=load.TABLES[dataset][name]), now)
    state = load.cursors(history, dataset) | dict(cursors)
    packed = base64.b64encode(zlib.compress(json.dumps({"sources": {dataset: state}}).encode())).decode()
    history.connection.execute(
        f"insert into {dataset}._dlt_pipeline_state"
        f" select coalesce(max(version), 0) + 1, 4, $name, $state, $now, '', '', '' from {dataset}._dlt_pipeline_state",
        {"name": load.PIPELINE, "state": packed, "now": now},
    )
    history.connection.execute(f"insert into {dataset}._dlt_loads values ('{now.timestamp()}', '{dataset}', 0, ?, '')", [now])


def _make_own_tables(history: RawCopy, dataset: str) -> None:
    history.connection.execute(
        f"create table {dataset}._dlt_pipeline_state (version bigint, engine_version bigint, pipeline_name varchar,"
        " state varchar, created_at timestamptz, version_hash varchar, _dlt_load_id varchar, _dlt_id varchar);"
        f"create table {dataset}._dlt_loads (load_id varchar, schema_name varchar, status bigint, inserted_at timestamptz,"
        " schema_version_hash varchar)"
    )


def _keep_versions(history: RawCopy, dataset: str, name: str, shown: pa.Table, now: datetime) -> None:
    """Retires what is no longer shown inside the windows, adds what is new: dlt's `scd2`."""
    table = f"{dataset}.{name}"
    history.connection.register("shown", shown)
    history.connection.execute(
        f"update {table} set _dlt_valid_to = $now where _dlt_valid_to is null"
        f" and {scope(dataset, name, shown.schema).format(table=table)}"
        " and row_version not in (select row_version from shown)",
        {"now": now},
    )
    history.connection.execute(
        f"insert into {table} by name select *, $now as _dlt_valid_from from shown"
        f" where row_version not in (select row_version from {table} where _dlt_valid_to is null)",
        {"now": now},
    )
    history.connection.unregister("shown")
