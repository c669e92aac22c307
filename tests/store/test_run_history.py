"""The history of runs holds the newest runs and nothing of a customer, and no run or ledger fails for it."""

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import duckdb
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.store import run_history
from pipelines.store.run_history import FILE, KEPT, keep, read
from transforms import given as given_tables
from transforms.run_record import RunRecord, Status

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
LINE = '{"run_id":"r-1","started_at":"2026-11-30T12:00:00Z","status":"ok"}'

VALUES = dict.fromkeys(RunRecord.__struct_fields__, st.integers(-1, 10**13) | st.floats() | st.none() | st.datetimes().map(str))


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB for all examples: to open one costs more than an example."""
    with duckdb.connect() as opened:
        yield opened


def a_run(number: int, **more: Any) -> RunRecord:
    return RunRecord(run_id=f"r-{number}", started_at=NOON + timedelta(hours=number), **more)


def ids(data_dir: Path) -> list[str]:
    return [record.run_id for record in read(data_dir).records]


def test_the_newest_runs_are_kept_and_a_run_has_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"".join(msgspec.json.encode(a_run(number)) + b"\n" for number in range(KEPT)))
    for record in (a_run(KEPT), a_run(KEPT, status="ok", total_seconds=2.5)):
        assert keep(tmp_path, record) is None

    assert ids(tmp_path) == [f"r-{number}" for number in range(1, KEPT + 1)]
    assert read(tmp_path).records[-1] == a_run(KEPT, status="ok", total_seconds=2.5)
    assert len((tmp_path / FILE).read_text().splitlines()) == KEPT
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        LINE[:30],
        "null",
        "[1]",
        '{"run_id": "r-2"}',
        LINE.replace("r-1", "<b>"),
        LINE.replace('"ok"', '"well"'),
        LINE.replace("Z", ""),
        LINE.replace('"ok"', '"ok", "requests": -1'),
        LINE.replace('"ok"', '"ok", "requests": 99999999999999999999'),
        LINE.replace('"ok"', '"ok", "total_seconds": 1e999'),
        LINE.replace('"ok"', '"ok", "total_seconds": NaN'),
        "\udcff",
    ],
)
def test_a_damaged_line_is_named_once_and_costs_no_other_one(tmp_path: Path, damaged: str) -> None:
    (tmp_path / FILE).write_bytes(f"{LINE}\n{damaged}\n{LINE.replace('r-1', 'r-9')}\n".encode(errors="surrogateescape"))
    history = read(tmp_path)
    said = f"1 line of {FILE} could not be read: the runs table lacks these runs" if damaged else None

    assert ids(tmp_path) == ["r-1", "r-9"]
    assert history.trouble == said
    assert keep(tmp_path, a_run(10)) == said
    assert keep(tmp_path, a_run(11)) is None
    assert ids(tmp_path) == ["r-1", "r-9", "r-10", "r-11"]


def test_what_a_later_version_wrote_stays_in_its_line(tmp_path: Path) -> None:
    later = LINE.replace("}", ',"a_later_key":[1]}')
    (tmp_path / FILE).write_text(f"{later}\n")
    keep(tmp_path, a_run(2))

    assert (tmp_path / FILE).read_text().splitlines()[0] == later
    assert ids(tmp_path) == ["r-1", "r-2"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.binary(max_size=40) | st.fixed_dictionaries({}, optional=VALUES), max_size=5))
def test_no_content_breaks_a_run_or_a_ledger(tmp_path: Path, connection: duckdb.DuckDBPyConnection, lines: list[Any]) -> None:
    written = [one if isinstance(one, bytes) else json.dumps(json.loads(LINE) | one).encode() for one in lines]
    (tmp_path / FILE).write_bytes(b"\n".join(written))
    records = read(tmp_path).records
    connection.execute("drop schema if exists given cascade")
    given_tables.fill(connection, {"runs": given_tables.runs(given_tables.Publication(runs=records), 0)})

    assert connection.execute("select count(*) from given.runs").fetchone() == (len(records),)
    keep(tmp_path, a_run(1))
    assert ids(tmp_path)[-1] == "r-1"


def test_a_full_disk_leaves_the_history_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, a_run(1))

    def full(path: Path, text: str) -> None:
        path.write_text(text[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_history, "write_private", full)
    assert keep(tmp_path, a_run(2)) is None

    assert ids(tmp_path) == ["r-1"]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_history_that_cannot_be_opened_is_named_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / FILE)

    assert str(keep(tmp_path, a_run(1))).startswith(f"the history of runs could not be read: {FILE} (")
    assert read(tmp_path).records == []
    assert (tmp_path / FILE).is_symlink()


def test_a_record_has_no_room_for_a_text_of_anybody() -> None:
    hints = get_type_hints(RunRecord)
    kinds = {name: set(get_args(hint) or {hint}) - {type(None)} for name, hint in hints.items()}

    assert {name for name, kind in kinds.items() if not kind <= {int, float, datetime}} == {"run_id", "status"}
    assert kinds["status"] == {Status}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"run_id": "Erika Mustermann", "started_at": NOON}, RunRecord)
