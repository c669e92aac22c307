"""Follows an account's pages, newest first, while the bank may change them.

The bank pages by number. A row that appears or disappears during a read shifts all rows behind it, so that one is shown twice or
not at all. Signs of it: a repeated id, another `total`, a day that rises again on the next page, and a first page that reads
otherwise when the rest has been read.

One row that disappears and another that appears between the same two requests, both behind the first page, show none of these
signs, but hide a row. The account's balance reveals them (`transactions`). The README says what stays undetected.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sources._errors import SourceError, Unavailable, Unexpected
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient, Page, first_page
from sources.kontist.prefetch import Prefetch
from sources.kontist.responses import ASK_A_PERSON, BANK, decoded
from sources.kontist.rows import SCHEMA, Rows, each_once, read_rows

REPEATED = "a transaction came twice"
UNVOUCHED = "its balance does not fit what it shows"
_STEADY = [name for name in SCHEMA.names if name != "extra"]
"""Columns that must not change while we read. A field that we do not know may be different in each answer."""


class Shifted(Exception):
    """The pages of one attempt do not fit together: the account changed, or the bank contradicts itself."""

    def __init__(self, sign: str, trace: list[int], *, contradiction: bool = False) -> None:
        super().__init__(sign)
        self.sign = sign
        self.trace = trace
        self.contradiction = contradiction

    def error(self) -> SourceError:
        """Returns the error to raise when no attempt is left."""
        if self.contradiction:
            return Unexpected(BANK, f"the pages of an account do not fit together: {self.sign}", ASK_A_PERSON)
        return Unavailable(BANK, f"an account kept changing while it was read: {self.sign}", "The next run reads it again")


def pages_overlap(tries: list[Shifted]) -> bool:
    """Returns whether the last two attempts saw the same pages and the same repeated id: then nothing changes, and to show a
    page's last rows again on the next one is the bank's way of paging (observed in 2018)."""
    return len(tries) > 1 and tries[-1].sign == REPEATED and tries[-1].trace == tries[-2].trace


@dataclass
class Walk:
    """One attempt at one account. `overlapping`: drop the rows that a page repeats from the end of the page before.

    `reach` is the Berlin day, in days since 1970, down to which every page is wanted: from the second page on they are
    prefetched, several at a time. Without it each page is requested when the one before has been checked.
    """

    client: KontistClient
    account: Account
    prefetch: Prefetch
    overlapping: bool = False
    reach: int | None = None

    at_end: bool = False
    """The last page that was read held the bank's oldest row."""
    oldest: int | None = None
    """Berlin day of the last row that was read, in days since 1970."""
    unknown_fields: set[str] = field(default_factory=set)

    _first: Rows | None = None
    _total: int | None = None
    _rows: int = 0
    _repeats: int = 0
    """Rows that a page listed once more. Whether `total` counts them is not known."""
    _refused: int = 0
    _seen: set[str] = field(default_factory=set)
    _trace: list[int] = field(default_factory=list)

    def pages(self) -> Iterator[Rows]:
        """Yields each page in turn, checked against those before. Stop when it is enough, then `confirm`.

        Raises `Shifted`; `Unexpected` for a loop, an empty page in the middle and rows out of order within a page.
        """
        start = self.client.http.url(first_page(self.account))
        asked = {start + form for form in ("", "/", "?page=1", "/?page=1")}
        address = start
        before: tuple[str | None, ...] = ()
        while True:
            wanted = self._wanted()
            self.client.http.pace.to_come = wanted
            page, rows = self._ask(address, before, wanted)
            self._check(page, rows)
            before = rows.ids
            self.at_end = page.next is None
            yield rows
            if page.next is None:
                return
            if page.next in asked:
                raise Unexpected(BANK, "the pages of an account go round in a circle", ASK_A_PERSON)
            if not rows.ids:
                raise Unexpected(BANK, "an empty page names a next one", ASK_A_PERSON)
            address = page.next
            asked.add(address)

    @property
    def newest(self) -> int | None:
        """Berlin day of the newest row of the first page, in days since 1970."""
        return self._first.newest if self._first else None

    @property
    def seen(self) -> list[int]:
        """Returns a hash of each page that was seen: of its ids in their order, and of `total`."""
        return self._trace

    def confirm(self) -> None:
        """Raises `Shifted` if rows are missing at the end, or if the first page, read again, has changed.

        A read of one page is one answer, and needs no second look.
        """
        if self.at_end and self._total is not None and self._rows + self._repeats < self._total:
            raise self.shifted("the bank announces more transactions than it shows", contradiction=True)
        if len(self._trace) == 1 or self._first is None:
            return
        self.prefetch.close()
        page, rows = self._ask(first_page(self.account), ())
        if rows.ids != self._first.ids or not rows.batch.select(_STEADY).equals(self._first.batch.select(_STEADY)):
            raise self.shifted("its first page changed")
        if page.total != self._total:
            raise self.shifted("its number of transactions changed")

    def _ask(self, address: str, before: tuple[str | None, ...], wanted: int = 0) -> tuple[Page, Rows]:
        page = self.prefetch.page(address, wanted)
        rows = read_rows(page.rows, self.account.source_account_id)
        again = _repeated(before, rows.ids) if self.overlapping else 0
        if again:
            rest = decoded(page.rows, list[msgspec.Raw])[again:]
            rows = read_rows(b"[" + b",".join(bytes(row) for row in rest) + b"]", self.account.source_account_id)
        once = each_once(rows)
        self._repeats += len(rows.ids) - len(once.ids)
        return page, once

    def _wanted(self) -> int:
        """Returns how many pages behind the current one will be needed too, estimated from the pages so far."""
        pages, newest = len(self._trace), self.newest
        if self.reach is None or not self._total or not self._rows or newest is None or self.oldest is None:
            return 0
        to_the_end = -(-(self._total - self._rows) * pages // self._rows) - 1
        to_reach = (self.oldest - self.reach) * pages // (newest - self.oldest + 1)
        return max(0, min(to_the_end, to_reach))

    def _check(self, page: Page, rows: Rows) -> None:
        if self._first is None:
            self._first, self._total = rows, page.total
        self.unknown_fields |= rows.unknown_fields
        self._rows += len(rows.ids)
        self._refused += len(rows.refused)
        self._trace.append(hash((rows.ids, page.total)))
        ids = [one for one in rows.ids if one is not None]
        fresh = set(ids) - self._seen
        if len(fresh) < len(ids):
            raise self.shifted(REPEATED)
        self._seen |= fresh
        if page.total != self._total:
            raise self.shifted("its number of transactions changed")
        # It is not known whether `total` counts an unreadable row.
        if self._total is not None and self._rows - self._refused > self._total:
            raise self.shifted("the bank shows more transactions than it announces", contradiction=True)
        days = [one for one in rows.days if one is not None]
        if days != sorted(days, reverse=True):
            raise Unexpected(BANK, "the transactions of a page are not sorted newest first", ASK_A_PERSON)
        if days and self.oldest is not None and days[0] > self.oldest:
            raise self.shifted("a page begins with a newer day than the page before ended with", contradiction=True)
        if days:
            self.oldest = days[-1]

    def shifted(self, sign: str, **more: Any) -> Shifted:
        """Returns the sign that ends this attempt."""
        return Shifted(sign, self._trace, **more)


def _repeated(before: tuple[str | None, ...], ids: tuple[str | None, ...]) -> int:
    """Returns how many rows at the head of a page repeat the last rows of the page before it.

    A row without an id is never recognised.
    """
    longest = next((place for place, one in enumerate(ids[: len(before)]) if one is None), min(len(before), len(ids)))
    return next((count for count in range(longest, 0, -1) if before[-count:] == ids[:count]), 0)
