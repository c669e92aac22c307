"""Gives transactions their id, their number within the day, and the hash of their content, on columns and without SQL.

Raw history does the same in DuckDB (`pipelines/store/shape.py`); a property test holds both equal. A source that loads into any
destination has no DuckDB.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UNIT = "\x1f"
NOTHING = "\x00"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How one bank's transactions are distinguished."""

    schema: pa.Schema
    """The columns to deliver."""
    amount: str
    booked: Callable[[pa.Table], list[bool]]
    """Returns for each row whether it is booked, from the columns `booked_by`."""
    booked_by: tuple[str, ...]
    own_id: str | None
    """Column of the bank's own id. None: day, amount and the number among equal rows of the day make the id."""
    unversioned: frozenset[str]
    """Columns that are kept as first seen: a version does not depend on them."""
    later: frozenset[str] = frozenset()
    """Columns that were added after the first versions: an empty one is no part of a version."""


@dataclass(frozen=True)
class Window:
    """Days of one account that an answer shows whole: from `since` (None: the first) to the day before `until` (None: no end)."""

    since: date | None = None
    until: date | None = None

    def holds(self, day: date) -> bool:
        """Returns whether `day` is one of them."""
        return (self.since is None or day >= self.since) and (self.until is None or day < self.until)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a bank showed of one account: the spooled rows in its order, and which end that order starts at."""

    account_id: str
    file: Path | None
    newest_first: bool = True


def identified(rules: Rules, shown: Shown, window: Window) -> Iterator[pa.RecordBatch]:
    """Yields the rows of the window's days with id, numbers and version, in the columns of `rules.schema`.

    Rows of other days are left out. Only the key columns are held in memory at once.
    """
    if shown.file is None:
        return
    numbers = _numbered(rules, shown, window)
    first = 0
    with pq.ParquetFile(shown.file) as spooled:
        for batch in spooled.iter_batches():
            places = [place for place in range(batch.num_rows) if first + place in numbers]
            rows = [numbers[first + place] for place in places]
            first += batch.num_rows
            if places:
                yield _completed(rules, shown, pa.Table.from_batches([batch]).take(places), rows)


def _numbered(rules: Rules, shown: Shown, window: Window) -> dict[int, tuple[int, int]]:
    """Returns by position the number among equal rows of a day, and among the booked ones; counted from the oldest row, so that a
    later twin never takes an earlier one's number."""
    keys = pq.read_table(shown.file, columns=["window_on", rules.amount, "position", *rules.booked_by], partitioning=None)
    days, amounts, booked = keys["window_on"].to_pylist(), keys[rules.amount].to_pylist(), rules.booked(keys)
    equal: Counter[tuple[date, Any]] = Counter()
    in_day: Counter[date] = Counter()
    found: dict[int, tuple[int, int]] = {}
    positions = keys["position"].to_pylist()
    for place in sorted(range(len(days)), key=positions.__getitem__, reverse=shown.newest_first):
        day = days[place]
        if window.holds(day):
            equal[day, amounts[place]] += 1
            in_day[day] += booked[place]
            found[place] = equal[day, amounts[place]], in_day[day] if booked[place] else 0
    return found


def _completed(rules: Rules, shown: Shown, rows: pa.Table, numbers: list[tuple[int, int]]) -> pa.RecordBatch:
    occurrences, positions = zip(*numbers, strict=True)
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    columns["account_id"] = pa.array([shown.account_id] * rows.num_rows, pa.string())
    columns["occurrence"] = pa.array(occurrences, pa.int64())
    columns["position_in_day"] = pa.array(positions, pa.int64())
    if rules.own_id:
        ids = columns[rules.own_id].to_pylist()
    else:
        ids = [_md5(one) for one in _joined(_as_text(columns[name]) for name in ("window_on", rules.amount, "occurrence"))]
    columns["transaction_id"] = pa.array([f"{shown.account_id}:{one}" for one in ids], pa.string())
    left_out = rules.unversioned | {"account_id", "row_version"}
    versions = _joined(
        pc.binary_join_element_wise(f"{name}=", _text_or_null(columns[name]), "")
        if name in rules.later
        else _as_text(columns[name])
        for name in rules.schema.names
        if name not in left_out
    )
    columns["row_version"] = pa.array([_md5(one) for one in versions], pa.string())
    table = pa.Table.from_arrays([columns[name] for name in rules.schema.names], schema=rules.schema)
    (batch,) = table.combine_chunks().to_batches()
    return batch


def _joined(texts: Iterable[Any]) -> list[str]:
    joined: list[str] = pc.binary_join_element_wise(*texts, UNIT, null_handling="skip").to_pylist()
    return joined


def _as_text(column: Any) -> Any:
    return pc.fill_null(_text_or_null(column), NOTHING)


def _text_or_null(column: Any) -> Any:
    text = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).cast(pa.string())
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def version_of(row: Mapping[str, Any]) -> str:
    """Returns the hash of a small table's row: all that the bank said, and whose row it is."""
    return digest(json.dumps(row, sort_keys=True, default=str, ensure_ascii=False))


def digest(*parts: str) -> str:
    """Returns a hash of texts, 32 hex digits."""
    return hashlib.sha256(UNIT.join(parts).encode()).hexdigest()[:32]


def versioned_rows(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Returns a small table's rows with their version; of equal rows one."""
    versions = {version_of(row): row for row in rows}
    return pa.Table.from_pylist([row | {"row_version": version} for version, row in versions.items()], schema=schema)
