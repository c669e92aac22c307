"""Reads an account's transactions: how far to go, and which days it may claim then.

The bank shows them newest first and knows no `since` (vendor document), so a read goes on from the newest row until it has
seen enough. What it saw in whole days becomes the account's window; inside it the bank's answer replaces ours.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from sources._protocols import Depth, Known, Reading, Spool
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient, Page
from sources.kontist.paging import UNVOUCHED, Shifted, Walk, pages_overlap
from sources.kontist.prefetch import Prefetch
from sources.kontist.rows import SCHEMA, Refused, Rows, day

AGAIN = 3
"""How often a read starts again when the account changes meanwhile."""
RECENT_DAYS = 45
"""Days before an account's newest row in which rows still move: reservations become bookings, users edit."""
BATCH_ROWS = 50_000
"""Rows that are handed to the spool at once."""


def read_transactions(
    client: KontistClient,
    account: Account,
    *,
    depth: Depth,
    since: date | None,
    known: Known,
    spool: Spool,
    prefetch: Callable[[Callable[[str], Page]], Prefetch] = Prefetch,
) -> Reading:
    """Fills `spool` with what the bank shows of `account`, and returns from which day on that is complete.

    `shallow` goes on until one whole page holds only known, unchanged rows and lies behind every row that is pending as far
    as we know and behind every new one; it claims the whole days that it saw. `deep` ends with the first page that is older
    than `since` as a whole, and claims `since`. `full` goes to the oldest row and claims everything (`since` None), as
    `shallow` does when it comes that far. The spool may hold rows older than what is claimed.

    Pages that will be needed for sure are prefetched, several at once: all of a full read, of a deep one as many as the days so
    far suggest, of a shallow one none.

    A read of several pages is accepted when the balance confirms it: the balance before, plus the booked rows shown since, makes
    the balance that the bank reports. Otherwise the pages of the last `RECENT_DAYS`, or back to the oldest reservation, are read
    a second time. The read is accepted when they show the same rows; else it starts again. So a balance that is late, counts
    reservations or did not begin at nothing costs a few pages, and never the account.

    Each further attempt requests the list of accounts once more, for the balance.

    `requests` counts the requested pages, those of abandoned attempts too. Raises `Unavailable` when the account kept
    changing, `Unexpected` when the pages contradict each other, and what the client raises; then the spool is worthless.
    """
    if depth == "deep" and since is None:
        raise ValueError("a deep read needs the day that it reaches back to")
    tries: list[Shifted] = []
    requests = 0
    overlapping = False
    while True:
        shifted = None
        overlapping = overlapping or pages_overlap(tries)
        with closing(prefetch(client.transactions_page)) as fetched:
            walk = Walk(client, account, fetched, overlapping=overlapping, reach=_reach(depth, since))
            try:
                basket = _Basket(spool)
                claim = _read_once(walk, depth, since, known, basket)
            except Shifted as sign:
                shifted = sign
        requests += fetched.requests
        if shifted is None and len(walk.seen) > 1 and not _vouched_for(account, claim, known, basket):
            with closing(prefetch(client.transactions_page)) as fetched:
                shifted = _shifted_since(walk, fetched, basket)
            requests += fetched.requests
        if shifted is None:
            return Reading(depth, claim, requests=requests, unknown_fields=frozenset(walk.unknown_fields))
        tries.append(shifted)
        spool.clear()
        if len(tries) > AGAIN:
            raise shifted.error() from None
        account = _as_it_is_now(client, account)


def _shifted_since(walk: Walk, fetched: Prefetch, basket: "_Basket") -> Shifted | None:
    """Reads the recent pages a second time; returns a sign when they are not what `walk` saw.

    A row that goes and another that comes, both behind the first page and between the same two requests, leave no other sign.
    What moves is young: a pair of which both are older is missed until the next full read, which the balance then confirms.
    """
    newest = walk.newest
    last = None if newest is None else min(newest - RECENT_DAYS, newest if basket.pending_on is None else basket.pending_on)
    again = Walk(walk.client, walk.account, fetched, overlapping=walk.overlapping, reach=last)
    try:
        for rows in again.pages():
            if again.seen != walk.seen[: len(again.seen)]:
                return walk.shifted(UNVOUCHED)
            if len(again.seen) == len(walk.seen) or (last is not None and rows.newest is not None and rows.newest < last):
                break
        again.confirm()
    except Shifted as sign:
        return sign
    return None


def _as_it_is_now(client: KontistClient, account: Account) -> Account:
    """Returns the account with its present balance: the balance from before the change would confirm nothing."""
    return next((one for one in client.accounts() if one.account_id == account.account_id), account)


def _vouched_for(account: Account, claim: date | None, known: Known, basket: "_Basket") -> bool:
    """Returns whether the balance before the claimed days, plus what was booked on them, is the reported balance. An entirely new
    account began with nothing."""
    before, reported = known.balance_before(claim), account.row.get("balance_cents")
    if before is None and claim is None:
        before = 0
    return before is not None and reported is not None and before + basket.booked_since(claim) == reported


def _reach(depth: Depth, since: date | None) -> int | None:
    if depth == "deep" and since is not None:
        return (since - day(0)).days
    return (date.min - day(0)).days if depth == "full" else None


def _read_once(walk: Walk, depth: Depth, since: date | None, known: Known, basket: "_Basket") -> date | None:
    """Reads as far as `depth` says; returns the claimed day, None for everything."""
    is_enough = _stop_rule(depth, since, known)
    for rows in walk.pages():
        basket.take(rows)
        if is_enough(rows, basket.refused_on):
            break
    walk.confirm()
    basket.empty()
    if depth == "deep":
        return since
    return None if walk.at_end or walk.oldest is None else day(walk.oldest + 1)


def _stop_rule(depth: Depth, since: date | None, known: Known) -> Callable[[Rows, int | None], bool]:
    """Returns a rule that says whether a page, with the oldest day of the refused rows so far, is the last one that is needed."""
    if depth == "shallow":
        return _NothingNew(known)
    window = (since - day(0)).days if depth == "deep" and since else None
    return lambda rows, _: window is not None and rows.newest is not None and rows.newest < window


class _NothingNew:
    """The rule of a shallow read: the days that hold anything new, pending or refused must be claimed, so they must be over."""

    def __init__(self, known: Known) -> None:
        self._known = known
        pending = known.oldest_pending()
        self._to_claim = None if pending is None else (pending - day(0)).days

    def __call__(self, rows: Rows, refused_on: int | None) -> bool:
        if rows.oldest is None:
            return False
        is_known = self._known.unchanged(rows.batch)
        for one in (refused_on, None if is_known else rows.oldest):
            if one is not None:
                self._to_claim = min(one, self._to_claim if self._to_claim is not None else one)
        return is_known and (self._to_claim is None or rows.oldest < self._to_claim)


@dataclass
class _Basket:
    """Passes rows to the spool in large batches, and dates the refused ones."""

    spool: Spool
    refused_on: int | None = None
    """Oldest day of a refused row so far, in days since 1970."""
    pending_on: int | None = None
    """Oldest day of a reservation so far."""
    _booked: dict[int, int] = field(default_factory=dict)
    """Cents that were booked, by day."""
    _rows: list[pa.RecordBatch] = field(default_factory=list)
    _count: int = 0
    _undated: list[Refused] = field(default_factory=list)
    _last_day: int | None = None

    def take(self, rows: Rows) -> None:
        """Takes a page. A refused row without a day of its own gets its nearest newer neighbour's, else the next older one's."""
        days = list(rows.days)
        for place, one in enumerate(days):
            self._last_day = days[place] = self._last_day if one is None else one
        for refused in rows.refused:
            self._refuse(refused, days[refused.place])
        if self._undated and rows.newest is not None:
            undated, self._undated = self._undated, []
            for refused in undated:
                self._refuse(refused, rows.newest)
        if rows.batch.num_rows:
            self._rows.append(rows.batch)
            self._count += rows.batch.num_rows
            self._sum_up(rows.batch)
        if self._count >= BATCH_ROWS:
            self._hand_over()

    def booked_since(self, since: date | None) -> int:
        """Returns the sum of all booked rows from a day on."""
        first = (since or date.min).toordinal() - day(0).toordinal()
        return sum(cents for on, cents in self._booked.items() if on >= first)

    def _sum_up(self, batch: pa.RecordBatch) -> None:
        days = batch.column("window_on").cast(pa.int32()).to_pylist()
        has_value_day, has_kind = (batch.column(name).is_valid().to_pylist() for name in ("valuta_date", "booking_type"))
        amounts = batch.column("amount_cents").to_pylist()
        for on, valued, named, cents in zip(days, has_value_day, has_kind, amounts, strict=True):
            if valued or named:
                self._booked[on] = self._booked.get(on, 0) + cents
            else:  # a reservation (observed)
                self.pending_on = on if self.pending_on is None else min(on, self.pending_on)

    def empty(self) -> None:
        """Passes on what is left."""
        for refused in self._undated:
            self.spool.reject(refused.reason, refused.payload, None)
        self._hand_over()

    def _refuse(self, refused: Refused, on: int | None) -> None:
        if on is None:
            self._undated.append(refused)
            return
        self.refused_on = on if self.refused_on is None else min(on, self.refused_on)
        self.spool.reject(refused.reason, refused.payload, day(on))

    def _hand_over(self) -> None:
        for batch in pa.Table.from_batches(self._rows, SCHEMA).combine_chunks().to_batches():
            if batch.num_rows:
                self.spool.add(batch)
        self._rows, self._count = [], 0
