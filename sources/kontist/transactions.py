"""Reads an account's transactions: how far to go, and which days it may claim then.

The bank shows them newest first and knows no `since` (vendor document), so a read goes on from the newest row until it has
seen enough. What it saw in whole days becomes the account's window; inside it the bank's answer replaces ours.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from typing import Protocol

from sources._protocols import Depth, Keeper, Known, Reading, Spool
from sources.kontist.accounts import Account
from sources.kontist.basket import Basket
from sources.kontist.client import KontistClient, Page
from sources.kontist.kept_read import Record, resume
from sources.kontist.paging import Shifted, Walk
from sources.kontist.prefetch import Prefetch
from sources.kontist.rows import Rows, day
from sources.kontist.second_look import FIRST_PAGE, SecondLook


class Lists(Protocol):
    """What lists the accounts of a login."""

    def accounts(self) -> list[Account]:
        """Returns all accounts of the login."""


AGAIN = 3
"""How often a read starts again when its pages contradict each other."""


def read_transactions(
    client: KontistClient,
    account: Account,
    *,
    depth: Depth,
    since: date | None,
    known: Known,
    spool: Spool,
    prefetch: Callable[[Callable[[str], Page]], Prefetch] = Prefetch,
    keeper: Keeper | None = None,
) -> Reading:
    """Fills `spool` with what the bank shows of `account`, and returns from which day on that is complete.

    `shallow` goes on until one whole page holds only known, unchanged rows and lies behind every row that is pending as far
    as we know and behind every new one; it claims the whole days that it saw. `deep` ends with the first page that is older
    than `since` as a whole, and claims `since`. `full` goes to the oldest row and claims everything (`since` None), as
    `shallow` does when it comes that far. The spool may hold rows older than what is claimed.

    Pages that will be needed for sure are prefetched, several at once: all of a full read, of a deep one as many as the days so
    far suggest, of a shallow one none.

    Rows that arrive on top during a read of several pages do not disturb it: they are read at its end. Rows that went or changed
    among the newest ones are corrected there (`second_look`). Only a shallow read, which is short, starts again instead.

    A read of several pages is accepted when it shows as many rows as the bank announces and the balance confirms it: the balance
    before, plus the booked rows shown since, makes the balance that the bank reports. Otherwise the pages of the last
    `RECENT_DAYS`, or back to the oldest reservation, are read a second time, and what they show counts. The read is accepted when
    they show the same rows; else it is to be confirmed once more. So a balance that is late, counts reservations or did not begin
    at nothing costs a few pages, and never the account.

    `keeper` stores a full read part by part. An interrupted read is resumed: the recent pages are read again, then the pages from
    the last stored row on. Where the pages no longer join, the account is read again from the start.

    The list of accounts is requested once more, for the balance, when rows arrived meanwhile and for each further attempt.

    `requests` counts the requested pages, those of abandoned attempts too. Raises `Unavailable` when the account kept
    changing, `Unexpected` when the pages contradict each other, and what the client raises; then the spool is worthless.
    """
    if depth == "deep" and since is None:
        raise ValueError("a deep read needs the day that it reaches back to")
    requests, listed = 0, account
    for attempts_left in range(AGAIN, -1, -1):
        record = Record(keeper if depth == "full" else None)
        attempt = _Attempt(client, account, (depth, since, known), (spool, record), prefetch)
        try:
            reading = attempt.read(requests)
            return reading if attempt.account is listed else replace(reading, account=attempt.account.row)
        except Shifted as sign:
            if not attempts_left:
                raise sign.error() from None
        requests += attempt.requests
        record.forget()
        spool.clear()
        account = as_it_is_now(client, account)
    raise AssertionError("unreachable")


class _Attempt:
    """One attempt to read one account, `wanted` as deep, since when and beside which knowledge."""

    def __init__(
        self,
        client: KontistClient,
        account: Account,
        wanted: tuple[Depth, date | None, Known],
        into: tuple[Spool, Record],
        prefetch: Callable[[Callable[[str], Page]], Prefetch],
    ) -> None:
        self.requests = 0
        self._is_resumed = False
        self._client = client
        self.account = account
        self._depth, self._since, self._known = wanted
        self._basket, self._record = Basket(into[0]), into[1]
        self._prefetch = prefetch

    def read(self, requests: int) -> Reading:
        """Reads as far as it is wanted; raises `Shifted` if the pages do not fit. `requests` were made before."""
        is_enough = stop_rule(self._depth, self._since, self._known)
        with self._fetched() as fetched:
            walk = Walk(self._client, self.account, fetched, _reach(self._depth, self._since))
            look = SecondLook(walk, self._basket, self._fetched, self._record.replaced)
            with self._kept_on_break(walk, look):
                if parts := self._record.kept():
                    self._is_resumed = True
                    resume(walk, look, parts)
                for rows in () if walk.at_end else walk.pages():
                    self._basket.take(rows)
                    self._record.add(rows)
                    self._client.on_rows(walk.pages_read, len(walk.ids), walk.total)
                    if self._record.is_due:
                        self._record.save(walk.reached(look.dropped))
                    if is_enough(rows, self._basket.refused_on):
                        break
                fetched.close()
                claim = self._claim(walk)
                if walk.pages_read > 1:
                    self._confirm(walk, look, claim)
                elif sign := self._misfit(walk, look):
                    raise sign
        self._basket.empty()
        requests += self.requests
        return Reading(self._depth, claim, requests=requests, unknown_fields=frozenset(walk.unknown_fields))

    def _claim(self, walk: Walk) -> date | None:
        if self._depth == "deep":
            return self._since
        return None if walk.at_end or walk.oldest is None else day(walk.oldest + 1)

    @contextmanager
    def _kept_on_break(self, walk: Walk, look: SecondLook) -> Iterator[None]:
        """Stores the rows when the block is interrupted, and when a long read has come to its end."""
        try:
            yield
        except Shifted:
            raise
        except BaseException:
            self._record.save(walk.reached(look.dropped))
            raise
        if self._record.has_kept:
            self._record.save(walk.reached(look.dropped))

    def _confirm(self, walk: Walk, look: SecondLook, claim: date | None) -> None:
        look.down_to(None)
        if self._depth == "shallow" and look.found_changes:
            raise Shifted(FIRST_PAGE)
        if (sign := self._misfit(walk, look)) and (look.found_changes or not sign.contradiction):
            look.down_to(look.recent())
        for _ in range(1 + AGAIN):
            if sign := self._misfit(walk, look):
                raise sign
            if look.found_changes:
                self.account = as_it_is_now(self._client, self.account)
            if is_confirmed(self.account, claim, self._known, self._basket):
                break
            if not look.down_to(look.recent()):
                if self._is_uncounted(walk) and (look.found_changes or not walk.is_steady):
                    raise Shifted("rows changed, and the bank does not say how many there are")
                break
        else:
            raise Shifted("its balance does not fit what it shows")
        if sign := self._misfit(walk, look):
            raise sign

    def _misfit(self, walk: Walk, look: SecondLook) -> Shifted | None:
        """Returns a sign if rows are missing, or rows are there that have gone."""
        rows, total = len(walk.ids), walk.total
        if walk.gone > look.dropped:
            return Shifted("a transaction went")
        if self._is_uncounted(walk):
            return None
        if not walk.at_end:
            changed = (total or 0) - (walk.first_total or 0) != look.arrived
            return Shifted("its number of transactions changed") if changed else None
        if rows + walk.repeats < (total or 0):
            return walk.shifted("the bank announces more transactions than it shows")
        # It is not known whether `total` counts an unreadable row: if nothing changed, it may or may not.
        is_unchanged = walk.is_steady and not look.found_changes and not self._is_resumed
        unsure = self._basket.refused if is_unchanged else 0
        if rows - unsure > (total or 0):
            return walk.shifted("the bank shows more transactions than it announces")
        return None

    def _is_uncounted(self, walk: Walk) -> bool:
        """Returns whether the bank does not say how many rows there should be."""
        return walk.total is None or (walk.first_total is None and not walk.at_end)

    @contextmanager
    def _fetched(self) -> Iterator[Prefetch]:
        """Makes the fetcher of one way down the pages."""
        fetched = self._prefetch(self._client.transactions_page)
        try:
            with closing(fetched):
                yield fetched
        finally:
            self.requests += fetched.requests


def as_it_is_now(client: Lists, account: Account) -> Account:
    """Returns the account with its present balance: the balance from before the change would confirm nothing."""
    return next((one for one in client.accounts() if one.account_id == account.account_id), account)


def is_confirmed(account: Account, claim: date | None, known: Known, basket: Basket) -> bool:
    """Returns whether the balance before the claimed days, plus what was booked on them, is the reported balance. An entirely new
    account began with nothing."""
    before, reported = known.balance_before(claim), account.row.get("balance_cents")
    if before is None and claim is None:
        before = 0
    return before is not None and reported is not None and before + basket.sums().booked_since(claim) == reported


def _reach(depth: Depth, since: date | None) -> int | None:
    if depth == "deep" and since is not None:
        return (since - day(0)).days
    return (date.min - day(0)).days if depth == "full" else None


def stop_rule(depth: Depth, since: date | None, known: Known) -> Callable[[Rows, int | None], bool]:
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
