"""Follows an account's pages, newest first, while the bank may change them.

The bank pages by number. A row that appears or disappears during a read shifts all rows behind it, so that the next page shows
some rows once more or passes over some. Each page is therefore joined to the rows that were seen: it begins with the last of
them, or, where nothing else changed, right behind them. A page that joins in neither way is requested again, then from the page
before it on.

What the pages cannot show is settled afterwards (`second_look`): rows that arrived above the first page, and rows that changed
places behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from sources._errors import SourceError, Unavailable, Unexpected
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient, Page, first_page
from sources.kontist.page_groups import read_pages
from sources.kontist.prefetch import Prefetch, numbered
from sources.kontist.responses import ASK_A_PERSON, BANK
from sources.kontist.rows import Rows, each_once, part

REPEATED = "a transaction came twice"
TOO_FAST = "rows arrive faster than they can be read"
STEPS_BACK = 3
"""How often a read goes back one page without a new row in between."""
VAIN_PAGES = 100
"""Pages in a row that show no new row. More rows arrive then than are read."""


@dataclass(frozen=True)
class _Joint:
    """How a page joins the rows that were seen."""

    begins: int
    """Where among them the page begins. Below zero: rows have arrived above the first one."""
    new: int
    """The place of the first new row on the page."""
    lost: set[str] = field(default_factory=set)
    """Rows that should be on the page, and are not."""
    end: int = 0
    """Where among them a page without new rows ends."""


class Shifted(Exception):
    """The pages of one attempt do not fit together: the account changed, or the bank contradicts itself."""

    def __init__(self, sign: str, *, contradiction: bool = False) -> None:
        super().__init__(sign)
        self.sign = sign
        self.contradiction = contradiction

    def error(self) -> SourceError:
        """Returns the error to raise when no attempt is left."""
        if self.contradiction:
            return Unexpected(BANK, f"the pages of an account do not fit together: {self.sign}", ASK_A_PERSON)
        return Unavailable(BANK, f"an account kept changing while it was read: {self.sign}", "The next run reads it again")


@dataclass(frozen=True)
class Reached:
    """How far a walk has come."""

    rows: int
    page_rows: int
    """Rows of the first page."""
    following: str | None
    """Path of the next page; None at the end."""
    oldest: int | None
    """Berlin day of the last row, in days since 1970."""
    repeats: int
    gone: int
    dropped: int
    """Of the rows that went, those that a second look has taken out."""


@dataclass
class Walk:
    """One way down an account's pages, from the newest row on.

    `reach` is the Berlin day, in days since 1970, down to which every page is wanted: from the second page on they are
    prefetched, several at a time. Without it each page is requested when the one before has been checked.
    """

    client: KontistClient
    account: Account
    prefetch: Prefetch
    reach: int | None = None

    at_end: bool = False
    """The last page that was read held the bank's oldest row."""
    oldest: int | None = None
    """Berlin day of the last row that was read, in days since 1970."""
    unknown_fields: set[str] = field(default_factory=set)
    ids: list[str | None] = field(default_factory=list)
    """Of all rows that were seen, in the bank's order."""
    first: Rows | None = None
    """The first page."""
    page_rows: int = 0
    """How many rows it has."""
    first_total: int | None = None
    total: int | None = None
    """As the last page announces it."""
    pages_read: int = 0
    repeats: int = 0
    """Rows that a page listed once more. Whether `total` counts them is not known."""
    lost: set[str] = field(default_factory=set)
    """Ids that were seen and that a later page lacks."""

    seen: set[str] = field(default_factory=set)
    following: str | None = None
    """Address of the next page."""
    _trail: list[tuple[str, int]] = field(default_factory=list)
    """Of each page the address, and where in `ids` it begins."""
    _end: int = 0
    """Where in `ids` the last page ends."""
    _most: int = 0
    """The largest `total` so far."""
    _read: dict[str, tuple[Page, Rows]] = field(default_factory=dict)
    """By address, pages that have arrived early and were read with another one."""
    _shift: int = 0
    """How many rows must have gone above a page that was read again."""
    _repeated: bool = False
    """A page began with rows of the page before."""
    _steps_back: int = 0
    _vain_pages: int = 0
    _refused: int = 0

    def pages(self) -> Iterator[Rows]:
        """Yields the new rows of each page in turn, checked against those before. Stop when it is enough.

        Raises `Shifted`; `Unexpected` for a loop, an empty page in the middle and rows out of order within a page.
        """
        start = self.client.http.url(first_page(self.account))
        asked = {start + form for form in ("", "/", "?page=1", "/?page=1")}
        address = self.following or start
        while True:
            wanted = self._wanted()
            self.client.http.pace.to_come = wanted
            page, rows = self._ask(address, wanted)
            if _is_less(page.total, self.total):  # it was requested before the page in front of it
                page, rows = self._ask(address)
            joint, expected = self._joined(page, rows), self._end
            if joint is None:
                asked.discard(address)
                address, expected, page, rows, joint = self._page_before()
            self._trail.append((address, joint.begins))
            self._shift += max(0, joint.begins - expected)
            yield self._take(page, rows, joint)
            if page.next is None:
                return
            if page.next in asked:
                raise Unexpected(BANK, "the pages of an account go round in a circle", ASK_A_PERSON)
            if not rows.ids:
                raise Unexpected(BANK, "an empty page names a next one", ASK_A_PERSON)
            address = page.next
            asked.add(address)

    def reached(self, dropped: int) -> Reached:
        """Returns how far this walk has come; a second look has `dropped` this number of its rows."""
        path = urlsplit(self.following or "")
        return Reached(
            rows=len(self.ids),
            page_rows=self.page_rows,
            following=urlunsplit(("", "", path.path, path.query, "")) or None,
            oldest=self.oldest,
            repeats=self.repeats,
            gone=self.gone,
            dropped=dropped,
        )

    def go_on_from(self, reached: Reached, first: Rows | None) -> None:
        """Resumes an interrupted walk, of which `ids` holds the rows and `first` some of the newest."""
        try:
            self.following = reached.following and self.client.resolved(first_page(self.account), reached.following)
        except SourceError:
            raise Shifted("its next page is another account's") from None
        self.at_end = reached.following is None
        self.first, self.page_rows, self.oldest = first, reached.page_rows, reached.oldest
        self.repeats, self._shift = reached.repeats, reached.gone
        self.pages_read = 2  # more than one: the rows are to be confirmed

    def go_on_behind(self) -> None:
        """Sets the next page to the one that holds the last of the rows now, as many rows as the first page has on each.

        It must show some of the rows. Raises `Shifted` if the pages have no numbers.
        """
        if self.following is None:
            return
        number = (len(self.ids) - 1) // max(1, self.page_rows) + 1
        address = numbered(self.following, number)
        if not address:
            raise Shifted("its pages have no numbers")
        self.following = address
        self.pages_read = max(2, number)
        self._trail = [(numbered(address, number - 1), len(self.ids))] if number > 1 else []
        self._end = len(self.ids) + 1  # nowhere: a page that only follows does not join
        self._most = self.total or 0

    @property
    def newest(self) -> int | None:
        """Returns the Berlin day of the newest row of the first page, in days since 1970."""
        return self.first.newest if self.first else None

    @property
    def gone(self) -> int:
        """Returns how many of the seen rows have gone since, at least."""
        return self._shift + len(self.lost)

    @property
    def is_steady(self) -> bool:
        """Returns whether nothing so far showed a change: what does not fit then is the bank's contradiction."""
        return self.total == self.first_total and not self.gone and not self._steps_back and not self._repeated

    def shifted(self, sign: str) -> Shifted:
        """Returns the sign that ends this attempt."""
        return Shifted(sign, contradiction=self.is_steady)

    def _page_before(self) -> "tuple[str, int, Page, Rows, _Joint]":
        """Requests the page before once more; returns its address, where it began, itself, its rows and how it joins now."""
        self._steps_back += 1
        if not self._trail or self._steps_back > STEPS_BACK:
            raise Shifted("its number of transactions changed")
        self.prefetch.close()  # what was requested meanwhile is as old
        address, began = self._trail.pop()
        page, rows = self._ask(address)
        joint = self._joined(page, rows, knows_some=True)
        if joint is None:
            raise Shifted("its number of transactions changed")
        return address, began, page, rows, joint

    def _ask(self, address: str, wanted: int = 0) -> tuple[Page, Rows]:
        page = self.prefetch.page(address, wanted)
        read = self._read.pop(address, None)
        if read is None or read[0] is not page:
            group = [(address, page), *self.prefetch.arrived(address)]
            together = read_pages([one.rows for _, one in group], self.account.source_account_id)
            self._read = {where: (one, rows) for (where, one), rows in zip(group, together, strict=False)}
            read = self._read.pop(address)
        rows = read[1]
        once = each_once(rows)
        self.repeats += len(rows.ids) - len(once.ids)
        return page, once

    def _wanted(self) -> int:
        """Returns how many pages behind the current one will be needed too, estimated from the pages so far."""
        pages, newest, rows = self.pages_read, self.newest, len(self.ids)
        if self.reach is None or not self.total or not self.first_total or not rows or newest is None or self.oldest is None:
            return 0
        listed = max(rows, rows + self.total - self.first_total)  # those that arrived above, too
        to_the_end = -(-(min(self.total, self.first_total) - rows) * pages // listed) - 1
        to_reach = (self.oldest - self.reach) * pages // (newest - self.oldest + 1)
        return max(0, min(to_the_end, to_reach))

    def _joined(self, page: Page, rows: Rows, *, knows_some: bool = False) -> "_Joint | None":
        """Returns how a page joins the rows that were seen, None if it does not.

        A page that shows some of them joins by these: what follows the last of them is new. Other rows between them, and seen
        rows that the page lacks, are left to the second look. A page that shows none joins only if it is the next one and
        `total` is as before: otherwise rows between might have been passed over.
        """
        known = [place for place, one in enumerate(rows.ids) if one in self.seen]
        if not known:
            return None if knows_some else self._joined_behind(page, rows)
        first, last = (self._place(rows.ids[place]) for place in (known[0], known[-1]))
        if last - first + 1 < len(known):
            return None
        new = known[-1] + 1
        new += self._nameless(last + 1, rows.ids, new)
        covered = self.ids[first : last + 1] if new == len(rows.ids) else self.ids[first:]
        lost = {one for one in covered if one is not None} - set(rows.ids)
        return _Joint(first - known[0], new, lost, last + 1 + new - known[-1] - 1)

    def _joined_behind(self, page: Page, rows: Rows) -> "_Joint | None":
        begins = self._end - _grown(page.total, self.total)
        if (
            begins + len(rows.ids) <= 0 < self.pages_read
        ):  # more rows than a page holds have arrived: they are all above the seen ones
            return _Joint(begins, len(rows.ids), end=begins + len(rows.ids))
        nameless = self._nameless(begins, rows.ids, 0)
        return _Joint(begins, nameless) if begins == self._end and begins + nameless == len(self.ids) else None

    def _nameless(self, at: int, ids: tuple[str | None, ...], place: int) -> int:
        """Returns how many rows without an id follow in both."""
        if at < 0:  # above all seen rows
            return 0
        count = 0
        while at + count < len(self.ids) and place + count < len(ids) and self.ids[at + count] is None is ids[place + count]:
            count += 1
        return count

    def _place(self, one: str | None) -> int:
        """Returns where in `ids` a row is; it is likely to be among the last."""
        return next(at for at in range(len(self.ids) - 1, -1, -1) if self.ids[at] == one)

    def _take(self, page: Page, rows: Rows, joint: "_Joint") -> Rows:
        """Keeps in mind what a page showed, and returns its new rows."""
        if self.first is None:
            self.first, self.first_total, self.page_rows = rows, page.total, len(rows.ids)
        self.total = page.total
        self._most = max(self._most, page.total or 0)
        self.pages_read += 1
        self.following, self.at_end = page.next, page.next is None
        self.unknown_fields |= rows.unknown_fields
        self.lost |= joint.lost
        self._repeated = self._repeated or joint.new > 0
        new = part(rows, joint.new)
        self._vain_pages += 1
        if new.ids:
            self._steps_back = self._vain_pages = 0
        if self._vain_pages > VAIN_PAGES:
            raise Shifted(TOO_FAST).error()
        self.ids += new.ids
        self.seen.update(one for one in new.ids if one is not None)
        self._end = len(self.ids) if new.ids else joint.end
        self._check(page, rows, new)
        return new

    def _check(self, page: Page, rows: Rows, new: Rows) -> None:
        # It is not known whether `total` counts an unreadable row.
        self._refused += len(new.refused)
        if page.total is not None and len(self.ids) - self._refused > self._most:
            raise self.shifted("the bank shows more transactions than it announces")
        days = [one for one in rows.days if one is not None]
        if days != sorted(days, reverse=True):
            raise Unexpected(BANK, "the transactions of a page are not sorted newest first", ASK_A_PERSON)
        days = [one for one in new.days if one is not None]
        if days and self.oldest is not None and days[0] > self.oldest:
            raise Shifted("a page begins with a newer day than the page before ended with", contradiction=True)
        if days:
            self.oldest = days[-1]


def _grown(total: int | None, before: int | None) -> int:
    return 0 if total is None or before is None else total - before


def _is_less(total: int | None, before: int | None) -> bool:
    return total is not None and before is not None and total < before
