"""Follows an account's pages by cursor, newest first, while the bank may change them.

A cursor is taken for a place between two rows, so that rows that arrive on top disturb nothing. What a deletion does to it is not
known. Therefore each page is checked against the rows before it, and the recent pages are looked at again at the end: rows that
arrived meanwhile are put in front, and rows that went or changed among the recent ones are corrected.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import pyarrow.compute as pc

from sources._errors import Unexpected
from sources.kontist.accounts import Account
from sources.kontist.basket import Basket
from sources.kontist.kept_read import NO_JOINT, Part
from sources.kontist.paging import REPEATED, TOO_FAST, Reached, Shifted
from sources.kontist.query_client import CursorPage, QueryClient
from sources.kontist.responses import ASK_A_PERSON, BANK
from sources.kontist.rows import SCHEMA, Rows, day, part
from sources.kontist.second_look import FIRST_PAGE, RECENT_DAYS

_SLICE = 1000
"""Rows of a stored part that are handled at once."""
LOOKS = 4
"""Looks at the recent pages, until they are as before."""
Mark = tuple[bytes, int | None]
Change = Literal["none", "top", "any"]
"""What a look shows: the same rows, other rows on top of them, or any other change."""
_STEADY = [name for name in SCHEMA.names if name != "extra"]


@dataclass
class CursorWalk:
    """One way down an account's pages. `since`: the server may leave out older rows, where its filter passes reservations.

    `basket` gets the rows that `pages` yields, from the caller.
    """

    client: QueryClient
    account: Account
    basket: Basket
    since: date | None = None

    pages_read: int = 0
    ids: list[str | None] = field(default_factory=list)
    """Of all rows that were seen, in the bank's order."""
    oldest: int | None = None
    """Berlin day of the last row that was read, in days since 1970."""
    at_end: bool = False
    """The last page that was read held the bank's oldest row."""
    undescribed: set[str] = field(default_factory=set)
    """Kinds of rows that nobody has described."""
    found_changes: bool = False
    """Whether a look at the recent pages showed other rows than before."""
    _marks: list[Mark] = field(default_factory=list)
    """Hash and day of each row, beside `ids`."""
    _first_rows: int = 0
    _came_by: str | None = None
    """The cursor that led to the last page; None on the first one."""
    _following: str | None = None
    _filtered: bool = False
    _joined: Rows | None = None
    """New rows of the page that a resumed walk goes on with."""
    is_resumed: bool = False
    replaced: Callable[[int, list[Rows]], None] = lambda *_: None
    """Called with the number of newest rows that were replaced, and the rows in their place."""

    def pages(self) -> Iterator[Rows]:
        """Yields the rows of each page in turn, checked against those before. Stop when it is enough.

        Raises `Shifted`, and `Unexpected` for cursors that go round in a circle and for rows out of order.
        """
        seen = {one for one in self.ids if one is not None}
        cursors: set[str] = set()
        if self._joined is not None and self._joined.ids:
            yield self._take(self._joined, seen)
        while not self.at_end:
            page = self._first() if self._following is None else self._page(self._following)
            self._came_by = self._following
            new = self._take(page.rows, seen)
            self._follow(page, cursors)
            yield new

    def reached(self) -> Reached:
        """Returns how far this walk has come. The next page is named by the cursor of the last one, which is compared then."""
        return Reached(
            rows=len(self.ids),
            page_rows=self._first_rows,
            following=None if self.at_end else self._came_by or "",
            oldest=self.oldest,
            repeats=0,
            gone=0,
            dropped=0,
        )

    def resume(self, parts: Sequence[Part]) -> None:
        """Takes the rows of an interrupted read, looks at the recent pages again, and goes on behind the last stored row.

        The cursor is trusted only as far as the rows show it: the last stored page is requested again, and must hold stored rows.
        What follows the last of them is new. Raises `Shifted` where it does not.
        """
        for kept in parts:
            if kept.cut is not None and kept.cut > self.basket.newest_rows:
                raise Shifted(NO_JOINT)
            pieces = [part(kept.rows, start, start + _SLICE) for start in range(0, len(kept.rows.ids), _SLICE)]
            if kept.cut is None:
                for piece in pieces:
                    self.basket.take(piece)
            else:
                self.basket.replace(kept.cut, pieces)
            self.undescribed |= kept.rows.unknown_fields
            place = slice(len(self.ids), None) if kept.cut is None else slice(kept.cut)
            self.ids[place], self._marks[place] = kept.rows.ids, _marks(kept.rows)
        named = [one for one in self.ids if one is not None]
        if not named or len(set(named)) != len(named):
            raise Shifted(NO_JOINT)
        now = parts[-1].reached
        self.oldest, self._first_rows, self.at_end, self.is_resumed = now.oldest, now.page_rows, now.following is None, True
        self._came_by = now.following or None
        self._look(self._recent())
        if not self.at_end:
            self._join(self._page(self._came_by))

    def settle(self) -> None:
        """Reads the recent pages again until they are as before: then the account was so at the moment in between.

        Recent are the last `RECENT_DAYS`, or all back to the oldest reservation. Where rows arrive with every look, and nothing
        else changes, the last look ends in one page that holds the arrived rows and a known one.

        Raises `Shifted`, and `Unavailable` if rows arrive faster than they can be read.
        """
        for _ in range(LOOKS):
            pages, change = self._look(self._recent())
            if pages == 1 or change == "none":
                return
        if change == "any":
            raise Shifted("its recent rows are other ones each time")
        for _ in range(LOOKS):
            pages, change = self._look(None)
            if change == "any":
                raise Shifted(FIRST_PAGE)
            if pages == 1:
                return
        raise Shifted(TOO_FAST).error()

    def digest(self, since: date | None) -> bytes:
        """Returns a hash of all rows from a day on, to compare two walks."""
        first = ((since or date.min) - day(0)).days
        shown = (mark for mark, on in self._marks if on is None or on >= first)
        return hashlib.sha256(b"".join(shown)).digest()

    # ---- one page

    def _first(self) -> CursorPage:
        """Returns the first page. The filter goes on being used if it shows the newest rows of all, reservations too."""
        if self.since is None:
            return self._page(None)
        self.pages_read += 1
        newest, filtered = self.client.first_pages(self.account, self.since)
        booked_or_memo = pc.or_(*(pc.is_valid(newest.rows.batch.column(name)) for name in ("valuta_date", "memo")))
        pending = newest.rows.batch.num_rows - pc.sum(booked_or_memo, min_count=0).as_py()
        self._filtered = pending > 0 and (newest.rows.ids, newest.rows.days) == (filtered.rows.ids, filtered.rows.days)
        return filtered if self._filtered else newest

    def _page(self, after: str | None) -> CursorPage:
        self.pages_read += 1
        return self.client.transactions_page(self.account, after, self.since if self._filtered and after else None)

    def _take(self, rows: Rows, seen: set[str]) -> Rows:
        self._first_rows = self._first_rows or len(rows.ids)
        self.oldest = _checked(rows, self.oldest)
        _add_named(rows, seen)
        self.ids += rows.ids
        self.undescribed |= rows.unknown_fields
        self._marks += _marks(rows)
        return rows

    def _follow(self, page: CursorPage, cursors: set[str]) -> None:
        self._following, self.at_end = page.following, page.following is None
        if page.following is None:
            return
        if page.following in cursors or not page.rows.ids:
            raise Unexpected(BANK, "the pages of an account go round in a circle", ASK_A_PERSON)
        cursors.add(page.following)

    def _join(self, page: CursorPage) -> None:
        """Goes on behind the last stored row, which `page` must hold, with only stored rows in front of it."""
        last = max(place for place, one in enumerate(self.ids) if one is not None)
        ids = page.rows.ids
        if self.ids[last] not in ids:
            raise Shifted(NO_JOINT)
        new = ids.index(self.ids[last]) + 1
        while new < len(ids) and last + 1 < len(self.ids) and ids[new] is None:  # stored rows without an id
            new, last = new + 1, last + 1
        if last + 1 != len(self.ids) or list(ids[:new]) != self.ids[len(self.ids) - new :]:
            raise Shifted(NO_JOINT)
        _checked(page.rows, None)
        self._joined = part(page.rows, new)
        self._follow(page, set())

    # ---- the newest pages, again

    def _recent(self) -> int:
        """Returns the Berlin day down to which rows are young enough to move, or the day of the oldest reservation."""
        newest, pending = self.basket.first.newest if self.basket.first else None, self.basket.sums().pending_on
        first = (date.min - day(0)).days if newest is None else newest - RECENT_DAYS
        return first if pending is None else min(first, pending)

    def _look(self, reach: int | None) -> tuple[int, Change]:
        """Reads from the newest page down to known rows, which it replaces; returns the number of its pages and the change."""
        known = {one: place for place, one in enumerate(self.ids[: self.basket.newest_rows]) if one is not None}
        pages: list[Rows] = []
        ids: list[str | None] = []
        seen: set[str] = set()
        cursors: set[str] = set()
        oldest: int | None = None
        after: str | None = None
        while True:
            page = self._page(after)
            oldest = _checked(page.rows, oldest)
            _add_named(page.rows, seen)
            pages.append(page.rows)
            ids += page.rows.ids
            is_below = oldest is not None and self.oldest is not None and oldest < self.oldest
            cut = self._cut(ids, known, is_all=is_below or page.following is None)
            is_over = cut == len(self.ids) and (page.following is None or not self.at_end)  # rows may have come at the very end
            if cut is not None and (is_over or _reaches(page.rows, reach)):
                return len(pages), self._put_in_place(pages, ids, cut)
            after = page.following
            if after is None or after in cursors or not page.rows.ids:
                raise Shifted(FIRST_PAGE)
            cursors.add(after)

    def _cut(self, ids: Sequence[str | None], known: dict[str, int], *, is_all: bool) -> int | None:
        """Returns how many seen rows this look stands for; None while it does not end in a known one.

        `is_all`: it has come to the bank's oldest row, or further down than the walk.
        """
        if is_all and self.basket.newest_rows == len(self.ids):
            return len(self.ids)
        last = ids[-1] if ids else None
        return None if last is None or last not in known else known[last] + 1

    def _put_in_place(self, pages: Sequence[Rows], ids: Sequence[str | None], cut: int) -> Change:
        were, are = ({one for one in some if one is not None} for some in (self.ids[:cut], ids))
        if (are - were) & {one for one in self.ids[cut:] if one is not None}:
            raise Shifted(REPEATED)
        old, new = self._marks[:cut], [mark for rows in pages for mark in _marks(rows)]
        if new == old:
            return "none"
        self.found_changes = True
        self.basket.replace(cut, pages)
        self.ids[:cut], self._marks[:cut] = ids, new
        self.undescribed |= {name for rows in pages for name in rows.unknown_fields}
        self.replaced(cut, list(pages))
        return "top" if new[max(0, len(new) - cut) :] == old else "any"


def _reaches(rows: Rows, reach: int | None) -> bool:
    """Returns whether a page goes down behind the day `reach`; without one every page does."""
    return reach is None or (rows.oldest is not None and rows.oldest < reach)


def _checked(rows: Rows, oldest: int | None) -> int | None:
    """Returns the day of the page's last row, else `oldest`, the day of the page before. Raises for rows out of order."""
    days = [one for one in rows.days if one is not None]
    if days != sorted(days, reverse=True):
        raise Unexpected(BANK, "the transactions of a page are not sorted newest first", ASK_A_PERSON)
    if days and oldest is not None and days[0] > oldest:
        raise Shifted("a page begins with a newer day than the page before ended with", contradiction=True)
    return days[-1] if days else oldest


def _add_named(rows: Rows, seen: set[str]) -> None:
    named = {one for one in rows.ids if one is not None}
    if named & seen:
        raise Shifted(REPEATED, contradiction=True)
    seen |= named


def _marks(rows: Rows) -> list[Mark]:
    """Returns hash and day of each row, good or refused, without the fields that may differ in each answer."""
    good = {one["source_transaction_id"]: one for one in rows.batch.select(_STEADY).to_pylist()}
    refused = {one.place: (one.reason, one.payload) for one in rows.refused}
    said = (repr((one, good.get(one), refused.get(place))) for place, one in enumerate(rows.ids))
    hashes = (hashlib.blake2b(one.encode(errors="replace"), digest_size=8).digest() for one in said)
    return list(zip(hashes, rows.days, strict=True))
