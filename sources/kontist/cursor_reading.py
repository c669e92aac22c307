"""Reads an account's transactions by cursor, from Kontist's live service: how far to go, and which days it may claim then.

The pages are newest first, and a cursor stays behind its row while others arrive on top. The server can filter by day. It is not
known what such a filter does with reservations. So it is used only where its first page shows some, the same as without it.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date

import pyarrow.compute as pc

from sources._errors import Unexpected
from sources._protocols import Depth, Known, Reading, Spool
from sources.kontist.accounts import Account
from sources.kontist.basket import Basket
from sources.kontist.paging import REPEATED, Shifted
from sources.kontist.query_client import CursorPage, QueryClient
from sources.kontist.responses import ASK_A_PERSON, BANK
from sources.kontist.rows import Rows, day
from sources.kontist.transactions import AGAIN, as_it_is_now, is_confirmed, stop_rule


@dataclass(frozen=True)
class Wanted:
    """How far to read, and what is known of the account. `since` is the first day of a deep read."""

    depth: Depth
    since: date | None
    known: Known


def read_by_cursor(client: QueryClient, account: Account, wanted: Wanted, spool: Spool) -> Reading:
    """Fills `spool` with what the bank shows of `account`, and returns from which day on that is complete.

    The depths, and what each claims, are those of `transactions.read_transactions`.

    A read of several pages is accepted when the balance confirms it: the balance before the claimed days, plus what was booked on
    them, is the reported balance. Otherwise everything is read a second time, and the two must show the same rows. A further
    account is always read twice then: the unit of its balance is not known.

    Raises `Unavailable` when the account kept changing, `Unexpected` when the pages contradict each other, and what the client
    raises; then the spool is worthless.
    """
    if wanted.depth == "deep" and wanted.since is None:
        raise ValueError("a deep read needs the day that it reaches back to")
    requests, listed, before, sign = 0, account, "", Shifted("it shows other rows each time")
    for _ in range(AGAIN + 1):
        attempt = _Attempt(client, account, wanted, Basket(spool))
        try:
            claim = attempt.read()
        except Shifted as shifted:
            sign, before = shifted, ""
        else:
            shown = attempt.digest.hexdigest()
            if attempt.pages == 1 or shown == before or is_confirmed(account, claim, wanted.known, attempt.basket):
                attempt.basket.empty()
                undescribed = frozenset(attempt.undescribed)
                reading = Reading(wanted.depth, claim, requests=requests + attempt.pages, unknown_fields=undescribed)
                return reading if account is listed else replace(reading, account=account.row)
            before = shown
        requests += attempt.pages
        spool.clear()
        account = as_it_is_now(client, account)
    raise sign.error()


@dataclass
class _Attempt:
    """One way down the pages of one account."""

    client: QueryClient
    account: Account
    wanted: Wanted
    basket: Basket
    pages: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Of all rows, to compare two attempts."""
    _oldest: int | None = None
    _seen: set[str] = field(default_factory=set)
    undescribed: set[str] = field(default_factory=set)
    """Kinds of rows that nobody has described."""
    _filtered: bool = False
    """Whether the server leaves out what is older than `since`."""

    def read(self) -> date | None:
        """Puts the rows into the basket; returns the first day that they are complete from."""
        is_enough, at_end = self._stop_rule(), True
        for page in self._walk():
            self._check(page.rows)
            self.basket.take(page.rows)
            self.client.on_rows(self.pages, len(self._seen), None)
            if is_enough(page.rows, self.basket.refused_on):
                at_end = page.following is None
                break
        if self.wanted.depth == "deep":
            return self.wanted.since
        return None if at_end or self._oldest is None else day(self._oldest + 1)

    def _stop_rule(self) -> Callable[[Rows, int | None], bool]:
        if self.wanted.depth == "deep" and self.wanted.since is not None:
            window = (self.wanted.since - day(0)).days
            return lambda rows, _: rows.oldest is not None and rows.oldest < window
        return stop_rule(self.wanted.depth, self.wanted.since, self.wanted.known)

    def _walk(self) -> Iterator[CursorPage]:
        page = self._first()
        cursors: set[str] = set()
        while True:
            self.pages += 1
            yield page
            if page.following is None:
                return
            if page.following in cursors or not page.rows.ids:
                raise Unexpected(BANK, "the pages of an account go round in a circle", ASK_A_PERSON)
            cursors.add(page.following)
            page = self.client.transactions_page(self.account, page.following, self.wanted.since if self._filtered else None)

    def _first(self) -> CursorPage:
        """Returns the first page. The filter goes on being used if it shows the newest rows of all, reservations too."""
        since = self.wanted.since
        if self.wanted.depth != "deep" or since is None:
            return self.client.transactions_page(self.account)
        newest, filtered = self.client.first_pages(self.account, since)
        booked_or_memo = pc.or_(*(pc.is_valid(newest.rows.batch.column(name)) for name in ("valuta_date", "memo")))
        pending = newest.rows.batch.num_rows - pc.sum(booked_or_memo, min_count=0).as_py()
        self._filtered = pending > 0 and (newest.rows.ids, newest.rows.days) == (filtered.rows.ids, filtered.rows.days)
        return filtered if self._filtered else newest

    def _check(self, rows: Rows) -> None:
        days = [one for one in rows.days if one is not None]
        if days != sorted(days, reverse=True):
            raise Unexpected(BANK, "the transactions of a page are not sorted newest first", ASK_A_PERSON)
        if days and self._oldest is not None and days[0] > self._oldest:
            raise Shifted("a page begins with a newer day than the page before ended with", contradiction=True)
        self._oldest = days[-1] if days else self._oldest
        named = {one for one in rows.ids if one is not None}
        if named & self._seen:
            raise Shifted(REPEATED, contradiction=True)
        self._seen |= named
        self.undescribed |= rows.unknown_fields
        self.digest.update(repr((rows.ids, rows.batch.to_pydict(), rows.refused)).encode())
