"""Collects the rows of one read: the newest in memory, where a second look may correct them, older ones in the spool."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from sources._protocols import Spool
from sources.kontist.rows import SCHEMA, Refused, Rows, day, part

BATCH_ROWS = 50_000
"""Rows that are handed to the spool at once, and the newest rows that stay in memory until the read is accepted."""

_EXACT = pa.decimal128(20)
"""Of whole numbers: a sum of 64-bit integers would wrap around unseen."""


@dataclass
class Dates:
    """Dates the refused rows of pages that come in the bank's order.

    A refused row without a day of its own gets its nearest newer neighbour's, else the next older one's.
    """

    last: int | None = None
    """Day of the last row."""
    undated: list[Refused] = field(default_factory=list)

    def of(self, rows: Rows) -> list[tuple[Refused, int]]:
        """Returns the refused rows of which the day is known with this page, each with its day in days since 1970."""
        if not rows.refused and not self.undated:
            self.last = self.last if rows.oldest is None else rows.oldest
            return []
        days = list(rows.days)
        for place, one in enumerate(days):
            self.last = days[place] = self.last if one is None else one
        dated = [(one, on) for one in rows.refused if (on := days[one.place]) is not None]
        self.undated += [one for one in rows.refused if days[one.place] is None]
        if rows.newest is not None:
            dated += [(one, rows.newest) for one in self.undated]
            self.undated = []
        return dated


@dataclass
class Sums:
    """What was booked on which day, and the oldest reservation."""

    pending_on: int | None = None
    """Day of the oldest reservation, in days since 1970."""
    booked: dict[int, int] = field(default_factory=dict)
    """Cents by day."""

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows in any number of batches."""
        table = pa.Table.from_batches(batches, SCHEMA)
        table = table.filter(pc.is_null(table.column("memo")))  # a memo moves no money
        if not table.num_rows:
            return
        # a row without value date and kind is a reservation (observed)
        is_booked = pc.or_(pc.is_valid(table.column("valuta_date")), pc.is_valid(table.column("booking_type")))
        oldest = pc.min(table.filter(pc.invert(is_booked)).column("window_on").cast(pa.int32())).as_py()
        if oldest is not None:
            self.pending_on = oldest if self.pending_on is None else min(oldest, self.pending_on)
        booked = table.filter(is_booked)
        exact = pa.table(
            {"day": booked.column("window_on").cast(pa.int32()), "cents": booked.column("amount_cents").cast(_EXACT)}
        )
        for on, cents in zip(*exact.group_by("day").aggregate([("cents", "sum")]).to_pydict().values(), strict=True):
            self.booked[on] = self.booked.get(on, 0) + int(cents)

    def booked_since(self, since: date | None) -> int:
        """Returns the sum of all booked rows from a day on."""
        first = (since or date.min).toordinal() - day(0).toordinal()
        return sum(cents for on, cents in self.booked.items() if on >= first)


@dataclass
class Basket:
    """Passes rows to the spool in large batches, and dates the refused ones."""

    spool: Spool
    refused_on: int | None = None
    """Oldest day of a refused row so far, in days since 1970."""
    newest_rows: int = 0
    """How many of the newest rows, refused ones too, can still be replaced."""
    _newest: list[Rows] = field(default_factory=list)
    _dates: Dates = field(default_factory=Dates)
    _older_dates: Dates | None = None
    _older: list[pa.RecordBatch] = field(default_factory=list)
    _older_refused: int = 0
    _first_older_day: int | None = None
    _older_sums: Sums = field(default_factory=Sums)
    _count: int = 0
    _has_spooled: bool = False

    def take(self, rows: Rows) -> None:
        """Takes the next page."""
        for _, on in self._dates.of(rows):
            self.refused_on = on if self.refused_on is None else min(on, self.refused_on)
        if self._older_dates is None and self.newest_rows < BATCH_ROWS:
            self._newest.append(rows)
            self.newest_rows += len(rows.ids)
            return
        if self._older_dates is None:
            self._older_dates = Dates(self._dates.last)
        self._first_older_day = rows.newest if self._first_older_day is None else self._first_older_day
        self._reject(self._older_dates.of(rows))
        self._older_refused += len(rows.refused)
        self._older.append(rows.batch)
        self._count += rows.batch.num_rows
        if self._count >= BATCH_ROWS:
            self._hand_over()

    def replace(self, count: int, pages: Iterable[Rows]) -> None:
        """Puts `pages` in the place of the `count` newest rows, refused ones too."""
        rest = []
        for rows in self._newest:
            rest.append(part(rows, min(count, len(rows.ids))))
            count -= min(count, len(rows.ids))
        self._newest = [rows for rows in (*pages, *rest) if rows.ids]
        self.newest_rows = sum(len(rows.ids) for rows in self._newest)

    @property
    def first(self) -> Rows | None:
        """The first page."""
        return self._newest[0] if self._newest else None

    @property
    def refused(self) -> int:
        """Returns how many rows could not be understood."""
        return self._older_refused + sum(len(rows.refused) for rows in self._newest)

    def sums(self) -> Sums:
        """Returns the sums of all rows so far."""
        sums = Sums(self._older_sums.pending_on, dict(self._older_sums.booked))
        sums.add([rows.batch for rows in self._newest] + self._older)
        return sums

    def empty(self) -> None:
        """Passes on what is left."""
        dates = Dates()
        for rows in self._newest:
            self._reject(dates.of(rows))
        self._reject((one, self._first_older_day) for one in dates.undated)
        self._reject((one, None) for one in (self._older_dates.undated if self._older_dates else ()))
        newest = _combined(rows.batch for rows in self._newest)
        if not self._has_spooled:
            self._add(newest)
            self._hand_over()
            return
        self._hand_over()
        for batch in reversed(newest):
            self.spool.add_in_front(batch)

    def _reject(self, refused: Iterable[tuple[Refused, int | None]]) -> None:
        for one, on in refused:
            self.spool.reject(one.reason, one.payload, None if on is None else day(on))

    def _hand_over(self) -> None:
        self._older_sums.add(self._older)
        self._add(_combined(self._older))
        self._older, self._count, self._has_spooled = [], 0, True

    def _add(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            self.spool.add(batch)


def _combined(batches: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    combined: list[pa.RecordBatch] = pa.Table.from_batches(batches, SCHEMA).combine_chunks().to_batches()
    return [batch for batch in combined if batch.num_rows]
