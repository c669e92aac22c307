"""Reads an account's transactions by cursor, from Kontist's live service: how far to go, and which days it may claim then.

The pages are newest first, and a cursor stays behind its row while others arrive on top. The server can filter by day. It is not
known what such a filter does with reservations. So it is used only where its first page shows some, the same as without it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

from sources._errors import ConsentGone, SourceError, Unavailable
from sources._protocols import Depth, Keeper, Known, Reading, Spool
from sources.kontist.accounts import Account
from sources.kontist.basket import Basket
from sources.kontist.cursor_walk import CursorWalk
from sources.kontist.kept_read import NO_JOINT, Record
from sources.kontist.paging import Shifted
from sources.kontist.query_client import QueryClient
from sources.kontist.rows import Rows, day
from sources.kontist.transactions import AGAIN, as_it_is_now, is_confirmed, stop_rule


@dataclass(frozen=True)
class Wanted:
    """How far to read, and what is known of the account. `since` is the first day of a deep read."""

    depth: Depth
    since: date | None
    known: Known


def read_by_cursor(client: QueryClient, account: Account, wanted: Wanted, spool: Spool, keeper: Keeper | None = None) -> Reading:
    """Fills `spool` with what the bank shows of `account`, and returns from which day on that is complete.

    The depths, and what each claims, are those of `transactions.read_transactions`.

    At the end of a read of several pages the recent pages are read again, until they are as before: rows that arrived meanwhile
    are read too, and rows that went or changed are corrected. Then the read is accepted when the balance confirms it: the balance
    before the claimed days, plus what was booked on them, is the reported balance. Otherwise everything is read a second time,
    and the two must show the same rows. A further account is always read twice then: the unit of its balance is not known.

    `keeper` stores the first attempt of a full read part by part. An interrupted read is resumed: the recent pages are read
    again, then the last stored page, which must hold the stored rows, and what follows it. Where they do not join, or the bank
    refuses the stored cursor, the account is read again from the start.

    Raises `Unavailable` when the account kept changing, `Unexpected` when the pages contradict each other, and what the client
    raises; then the spool is worthless.
    """
    if wanted.depth == "deep" and wanted.since is None:
        raise ValueError("a deep read needs the day that it reaches back to")
    requests, listed, before, sign = 0, account, b"", Shifted("it shows other rows each time")
    record = Record(keeper if wanted.depth == "full" else None)
    for _ in range(AGAIN + 1):
        attempt = _Attempt(client, account, wanted, Basket(spool), record)
        try:
            claim = attempt.read()
            confirmed = attempt.is_one_answer or attempt.is_confirmed(claim)
        except Shifted as shifted:
            sign, before = shifted, b""
            record.forget()
        else:
            shown = attempt.walk.digest(claim)
            if confirmed or shown == before:
                attempt.basket.empty()
                undescribed = frozenset(attempt.walk.undescribed)
                reading = Reading(wanted.depth, claim, requests=requests + attempt.walk.pages_read, unknown_fields=undescribed)
                return reading if attempt.account is listed else replace(reading, account=attempt.account.row)
            if before:
                record.forget()  # the stored rows are those of the first attempt
            before = shown
        requests += attempt.walk.pages_read
        record = Record(None)
        spool.clear()
        account = as_it_is_now(client, attempt.account)
    raise sign.error()


class _Attempt:
    """One attempt to read one account."""

    def __init__(self, client: QueryClient, account: Account, wanted: Wanted, basket: Basket, record: Record) -> None:
        self.account = account
        self.basket = basket
        self._client, self._wanted, self._record = client, wanted, record
        since = wanted.since if wanted.depth == "deep" else None
        self.walk = CursorWalk(client, account, basket, since, replaced=record.replaced)

    @property
    def is_one_answer(self) -> bool:
        """Returns whether all rows came in one answer: they are the account at one moment."""
        return self.walk.pages_read == 1 and not self.walk.is_resumed

    def read(self) -> date | None:
        """Puts the rows into the basket; returns the first day that they are complete from. Raises `Shifted`."""
        is_enough, walk = self._stop_rule(), self.walk
        with self._kept_on_break():
            self._resume()
            for rows in walk.pages():
                self.basket.take(rows)
                self._record.add(rows)
                self._client.on_rows(walk.pages_read, len(walk.ids), None)
                if self._record.is_due:
                    self._record.save(walk.reached())
                if is_enough(rows, self.basket.refused_on):
                    break
            if not self.is_one_answer:
                walk.settle()
        if self._wanted.depth == "deep":
            return self._wanted.since
        return None if walk.at_end or walk.oldest is None else day(walk.oldest + 1)

    def is_confirmed(self, claim: date | None) -> bool:
        """Returns whether the balance confirms the rows: as it was listed, or as it is now, after what came since.

        Raises `Shifted` where the recent rows keep changing.
        """
        reported = self.account.row.get("balance_cents")
        if reported is None:
            return False
        for _ in range(AGAIN):
            if not self.walk.found_changes and is_confirmed(self.account, claim, self._wanted.known, self.basket):
                return True
            self.account, before = as_it_is_now(self._client, self.account), reported
            if is_confirmed(self.account, claim, self._wanted.known, self.basket):
                return True
            reported = self.account.row.get("balance_cents")
            if not self.walk.found_changes and reported == before:
                return False
            self.walk.found_changes = False
            self.walk.settle()
        return False

    def _resume(self) -> None:
        parts = self._record.kept()
        if not parts:
            return
        try:
            self.walk.resume(parts)
        except (Unavailable, ConsentGone):
            raise
        except SourceError:  # an old cursor that the bank does not take: that is no reason not to read the account
            raise Shifted(NO_JOINT) from None

    def _stop_rule(self) -> Callable[[Rows, int | None], bool]:
        if self._wanted.depth == "deep" and self._wanted.since is not None:
            window = (self._wanted.since - day(0)).days
            return lambda rows, _: rows.oldest is not None and rows.oldest < window
        return stop_rule(self._wanted.depth, self._wanted.since, self._wanted.known)

    @contextmanager
    def _kept_on_break(self) -> Iterator[None]:
        """Stores the rows when the block is interrupted, and when a long read has come to its end."""
        try:
            yield
        except Shifted:
            raise
        except BaseException:
            self._record.save(self.walk.reached())
            raise
        if self._record.has_kept:
            self._record.save(self.walk.reached())
