"""Stores the rows of a long read, so that a later run resumes it after an interruption.

A read is kept in parts, each whole in itself: rows that follow those of the parts before, or rows that take the place of the
newest ones. The last part says how far the read has come. Nothing of it counts until the bank's pages have been seen to join it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from sources._protocols import Keeper
from sources.kontist.paging import Reached, Shifted, Walk
from sources.kontist.rows import SCHEMA, Refused, Rows, part
from sources.kontist.second_look import SecondLook

FORMAT = 2
SECONDS = 5.0
"""Between two parts. A shorter read is not kept."""
NO_JOINT = "what was kept of it does not join"
_HEAD = b"kontoledger.read"
_DIGEST = hashlib.sha256().digest_size
"""Bytes in front of a part: Arrow would read some damaged files, with other amounts."""
_SLICE = 1000
"""Rows of a part that are handled at once, like a page."""


class Unusable(Exception):
    """What was kept is damaged, or of another version of this program."""


@dataclass(frozen=True)
class Part:
    """Rows behind those of the parts before; `cut` not None: in the place of this number of the newest."""

    rows: Rows
    cut: int | None
    reached: Reached


@dataclass
class Record:
    """Stores one read by `keeper`, at most every few seconds and when it is interrupted."""

    keeper: Keeper | None
    clock: Callable[[], float] = time.monotonic
    has_kept: bool = False
    _rows: int = 0
    """In the parts so far."""
    _notes: list[tuple[int | None, list[Rows]]] = field(default_factory=list)
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = self.clock()

    def kept(self) -> list[Part]:
        """Returns the parts of an interrupted read; none if they cannot be used."""
        if self.keeper is None:
            return []
        try:
            parts = [_unpacked(one) for one in self.keeper.kept()]
        except Unusable:
            parts = []
        self._rows = sum(len(one.rows.ids) - (one.cut or 0) for one in parts)
        if not parts or parts[-1].reached.rows != self._rows:
            self.keeper.forget()
            return []
        self.has_kept = True
        return parts

    def replaced(self, cut: int, pages: Sequence[Rows]) -> None:
        """Notes that `pages` took the place of the `cut` newest rows."""
        if self.keeper is None:
            return
        self._notes.append((cut, list(pages)))

    def add(self, rows: Rows) -> None:
        """Notes a page."""
        if self.keeper is None:
            return
        if not self._notes or self._notes[-1][0] is not None:
            self._notes.append((None, []))
        self._notes[-1][1].append(rows)

    @property
    def is_due(self) -> bool:
        """Whether the last part is some seconds old."""
        return self.keeper is not None and self.clock() - self._last >= SECONDS

    def save(self, now: Reached) -> None:
        """Keeps what was noted since the last part, unless the read has come further than the notes."""
        noted = sum(len(rows.ids) for _, pages in self._notes for rows in pages) - sum(cut or 0 for cut, _ in self._notes)
        if self.keeper is None or self._rows + noted != now.rows:
            return
        self._last = self.clock()
        for cut, pages in self._notes:
            rows = _joined(pages)
            self._rows += len(rows.ids) - (cut or 0)
            self.keeper.keep(_packed(Part(rows, cut, replace(now, rows=self._rows))))
            self.has_kept = True
        self._notes = []

    def forget(self) -> None:
        """Drops what was kept."""
        if self.keeper is not None:
            self.keeper.forget()


def resume(walk: Walk, look: SecondLook, parts: Sequence[Part]) -> None:
    """Resumes an interrupted read: takes the stored rows, then reads the recent pages as they are now.

    Raises `Shifted` where what was kept does not join what the bank shows.
    """
    for kept in parts:
        pieces = [part(kept.rows, start, start + _SLICE) for start in range(0, len(kept.rows.ids), _SLICE)]
        if kept.cut is None:
            for piece in pieces:
                look.basket.take(piece)
        elif kept.cut <= look.basket.newest_rows:
            look.basket.replace(kept.cut, pieces)
        else:
            raise Shifted(NO_JOINT)
        place = slice(len(walk.ids), None) if kept.cut is None else slice(kept.cut)
        walk.ids[place] = kept.rows.ids
        walk.unknown_fields |= kept.rows.unknown_fields
    walk.seen = {one for one in walk.ids if one is not None}
    if len(walk.seen) + walk.ids.count(None) != len(walk.ids):
        raise Shifted(NO_JOINT)
    now = parts[-1].reached
    walk.go_on_from(now, look.basket.first)
    look.dropped = now.dropped
    look.down_to(look.recent())
    walk.first_total = walk.total
    walk.go_on_behind()


def _joined(pages: list[Rows]) -> Rows:
    refused, before = [], 0
    for rows in pages:
        refused += [Refused(before + one.place, one.reason, one.payload) for one in rows.refused]
        before += len(rows.ids)
    return Rows(
        _one_batch(pa.Table.from_batches([rows.batch for rows in pages], SCHEMA)),
        tuple(one for rows in pages for one in rows.ids),
        tuple(one for rows in pages for one in rows.days),
        tuple(refused),
        frozenset(name for rows in pages for name in rows.unknown_fields),
    )


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=SCHEMA)


def _packed(part: Part) -> bytes:
    rows = part.rows
    head: dict[str, Any] = {
        "format": FORMAT,
        "cut": part.cut,
        "reached": asdict(part.reached),
        "unknown_fields": sorted(rows.unknown_fields),
    }
    if rows.refused or rows.batch.num_rows != len(rows.ids):
        head |= {"ids": rows.ids, "days": rows.days, "refused": [asdict(one) for one in rows.refused]}
    sink = pa.BufferOutputStream()
    schema = SCHEMA.with_metadata({_HEAD: json.dumps(head).encode()})
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(rows.batch.columns, schema=schema))
    packed: bytes = sink.getvalue().to_pybytes()
    return hashlib.sha256(packed).digest() + packed


def _unpacked(packed: bytes) -> Part:
    digest, packed = packed[:_DIGEST], packed[_DIGEST:]
    if hashlib.sha256(packed).digest() != digest:
        raise Unusable
    try:
        table = pa.ipc.open_file(pa.BufferReader(packed)).read_all()
        head = json.loads(table.schema.metadata[_HEAD])
        if head["format"] != FORMAT or not table.schema.equals(SCHEMA, check_metadata=False):
            raise Unusable
        table.validate(full=True)
        rows = _one_batch(table.replace_schema_metadata(None))
        ids = head.get("ids", rows.column("source_transaction_id").to_pylist())
        days = head.get("days", rows.column("window_on").cast(pa.int32()).to_pylist())
        refused = tuple(Refused(**one) for one in head.get("refused", ()))
        seen = Rows(rows, tuple(ids), tuple(days), refused, frozenset(head["unknown_fields"]))
        return Part(seen, head["cut"], Reached(**head["reached"]))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Unusable from None
