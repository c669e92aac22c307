"""Looks at an account's newest rows again: what arrived above them while the rest was read, and what changed among them.

A row that arrives on top hides none: it only shifts the others. So a read goes on while rows arrive, and reads them at its end,
from the first page down to the rows that it knows. What the second look shows replaces what was seen; the last look is at one
page, thus at one answer, so that the account is known as it was at one moment.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date

from sources.kontist.basket import Basket
from sources.kontist.paging import REPEATED, TOO_FAST, Shifted, Walk
from sources.kontist.prefetch import Prefetch
from sources.kontist.rows import SCHEMA, Rows, day, part

FIRST_PAGE = "its first page changed"
RECENT_DAYS = 45
"""Days before an account's newest row in which rows still move: reservations become bookings, users edit."""
VAIN_LOOKS = 10
"""Looks at the top of an account that are no shorter than the one before. More rows arrive then than are read."""
_STEADY = [name for name in SCHEMA.names if name != "extra"]
"""Columns that show a change. A field that we do not know may be different in each answer."""


@dataclass
class SecondLook:
    """Looks again at what `walk` has seen and `basket` holds, and corrects both. `fetched` makes the fetcher of one look."""

    walk: Walk
    basket: Basket
    fetched: Callable[[], AbstractContextManager[Prefetch]]
    replaced: Callable[[int, list[Rows]], None] = lambda *_: None
    """Called with the number of newest rows that were replaced, and the rows in their place."""
    found_changes: bool = False
    """Whether a look showed other rows than the walk."""
    dropped: int = 0
    """Rows that have gone since the walk saw them."""
    arrived: int = 0
    """Rows that came since, less the dropped ones."""

    def down_to(self, reach: int | None) -> bool:
        """Reads the pages from the first on, down to a Berlin day, or down to the first known rows (None).

        Returns whether rows other than new ones on top had changed. Repeats the look until it is at one page.

        Raises `Shifted`, and `Unavailable` if rows arrive faster than they can be read.
        """
        changed, vain, before = False, 0, self.walk.pages_read
        while vain < VAIN_LOOKS:
            pages, differs = self._look(reach)
            changed = changed or differs
            if pages == 1:
                return changed
            vain += pages >= before and reach is None
            reach, before = None, pages
        raise Shifted(TOO_FAST).error()

    def recent(self) -> int:
        """Returns the Berlin day down to which rows are young enough to move, or the day of the oldest reservation."""
        newest, pending = self.walk.newest, self.basket.sums().pending_on
        first = (date.min - day(0)).days if newest is None else newest - RECENT_DAYS
        return first if pending is None else min(first, pending)

    def _look(self, reach: int | None) -> tuple[int, bool]:
        known = {one: place for place, one in enumerate(self.walk.ids[: self.basket.newest_rows]) if one is not None}
        with self.fetched() as fetched:
            again = Walk(self.walk.client, self.walk.account, fetched, reach)
            pages: list[Rows] = []
            for rows in again.pages():
                pages.append(rows)
                joint = self._joint(again, known)
                if joint is None or not self._is_enough(again, rows, joint):
                    continue
                return again.pages_read, self._put_in_place(again, pages, *joint)
        raise Shifted(FIRST_PAGE)

    def _joint(self, again: Walk, known: dict[str, int]) -> tuple[int, int] | None:
        """Returns how many rows of this look take the place of how many seen ones; None while the look does not end in them."""
        walk = self.walk
        if again.at_end and walk.at_end and self.basket.newest_rows == len(walk.ids):
            return len(again.ids), len(walk.ids)
        last = next((place for place in range(len(again.ids) - 1, -1, -1) if again.ids[place] in known), None)
        if last is None:
            return None
        cut = known[again.ids[last] or ""] + 1
        rest, old = again.ids[last + 1 :], walk.ids[cut : cut + len(again.ids) - last - 1]
        return (last + 1, cut) if rest == old or (not walk.at_end and rest[: len(old)] == old) else None

    def _is_enough(self, again: Walk, rows: Rows, joint: tuple[int, int]) -> bool:
        taken, cut = joint
        if again.reach is None or cut + len(again.ids) - taken >= len(self.walk.ids):
            return True
        return rows.newest is not None and rows.newest < again.reach

    def _put_in_place(self, again: Walk, pages: list[Rows], taken: int, cut: int) -> bool:
        """Replaces the `cut` newest rows by the first `taken` of this look; returns whether more than new rows on top is new."""
        walk = self.walk
        old, new = walk.ids[:cut], again.ids[:taken]
        were, are = ({one for one in ids if one is not None} for ids in (old, new))
        if (are - were) & walk.seen:
            raise Shifted(REPEATED)
        on_top = next((place for place, one in enumerate(new) if one in were), len(new) - len(old))
        self.found_changes = self.found_changes or old != new or not _same_page(walk, again)
        self.dropped += len(were - are)
        self.arrived += taken - cut
        first = list(_first_rows(pages, taken))
        self.basket.replace(cut, first)
        self.replaced(cut, first)
        walk.ids[:cut] = new
        walk.seen -= were - are
        walk.seen |= are
        walk.total, walk.first, walk.page_rows = again.total, again.first, again.page_rows
        walk.unknown_fields |= again.unknown_fields
        return new[on_top:] != old


def _first_rows(pages: list[Rows], count: int) -> Iterator[Rows]:
    for rows in pages:
        if count > 0:
            yield part(rows, 0, count)
        count -= len(rows.ids)


def _same_page(walk: Walk, again: Walk) -> bool:
    """Returns whether the first page reads as before."""
    if walk.first is None or again.first is None:
        return walk.first is again.first
    return walk.first.ids == again.first.ids and walk.first.batch.select(_STEADY).equals(again.first.batch.select(_STEADY))
