"""How far back each account is read: what is due, what a known difference asks for, and what a person asks for.

An account's cursor holds days in ISO form:

    through         both banks   the last complete read
    difference_on   both banks   the last read as deep as the bank allows while a difference was known
    deep_on         Kontist      the last read of the look-back days
    full_on         both banks   the last read of everything
    far_on          Kontomatik   the last read of all that a reused consent shows
    not_before      Kontomatik   `connect --since` asked for no earlier day

The cursor of an account at Kontist also names the `dialect` of its rows, where that is or was another one than `rest`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.errors import WrongUsage
from pipelines.read.deadline import NONE, Deadline
from pipelines.store.banks import banks_day
from sources._cursors import overdue
from sources._protocols import Depth
from sources.kontomatik.reach import FAR_READ_DAYS, reachable

DIFFERENCE_DAYS = 1
"""Days after which a difference that persists asks for another read."""


def refuse_a_day_to_come(option: str, day: date | None, now: Callable[[], datetime]) -> None:
    """Raises `WrongUsage` for a day that has not begun at the banks: nothing can be read from it on."""
    today = banks_day(now())
    if day is not None and day > today:
        raise WrongUsage(f"{option} {day} lies in the future: today is {today} at the banks", "Name today or an earlier day")


def known_differences(data_dir: Path) -> dict[str, date]:
    """Returns the accounts that "moved more or less than the ledger holds", each with the last day of which that is known.

    The published ledger knows: it is built from raw history, so the knowledge lives as long as that does.
    """
    ledger = data_dir / "ledger.duckdb"
    if not ledger.exists():
        return {}
    import duckdb

    from pipelines.store.read_only import read_only

    try:
        with read_only(ledger) as connection:
            found = connection.execute(
                "select account_id, max(day) from main.coverage where difference_amount is not null group by account_id"
            ).fetchall()
    except duckdb.Error:  # of an earlier version, or damaged: this run builds it anew, and the next one reads that
        return {}
    return dict(found)


@dataclass(frozen=True, kw_only=True)
class ReadPlan:
    """How one bank is read in one run: how far back each account, what is reserved for manual use, and until when."""

    cursors: Mapping[str, Any]
    """Of each known account."""
    held: Mapping[str, Any]
    """Removals that are held for confirmation, by account."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Known ids of accounts that their bank lists under another one."""
    today: date
    lookback_days: int
    differences: Mapping[str, date] = field(default_factory=dict)
    """As `known_differences` returns them."""
    since: date | None = None
    """First day that the person asked for."""
    full: bool = False
    """Whether the person asked for all that the bank shows."""
    backfill: bool = False
    """Whether an account is unread while it is not read back to `since`: nobody asked for less."""
    deadline: Deadline = NONE

    def basis(self, account_id: str) -> dict[str, Any]:
        """Returns what this plan knows of an account before it is read."""
        return {"cursor": self.cursors.get(account_id), "held": self.held.get(account_id)}

    def overdue(self, last: str | None, days: int) -> bool:
        """Returns whether `last` is at least this many days ago, or never was."""
        return overdue(last, days, self.today)

    def for_a_difference(self, account_id: str) -> bool:
        """Returns whether the account has a known difference that a deeper read may explain."""
        return account_id in self.differences

    def difference_is_due(self, account_id: str) -> bool:
        """Returns whether a known difference asks for a read now: at the next run, then daily while it persists."""
        last = self.cursors.get(account_id, {}).get("difference_on")
        return self.for_a_difference(account_id) and self.overdue(last, DIFFERENCE_DAYS)

    def due_from(self, account_id: str) -> date:
        """Returns the first day that a usual read of an account with a cursor covers."""
        return date.fromisoformat(self.cursors[account_id]["through"]) - timedelta(days=self.lookback_days)


@dataclass(frozen=True, kw_only=True)
class KontistPlan(ReadPlan):
    """How Kontist is read. It has no `since`: only the number of pages can be chosen."""

    full_read_days: int = 7
    dialect: str = "rest"
    """The dialect that is read. Each has ids of its own."""

    def basis(self, account_id: str) -> dict[str, Any]:
        """Returns the same, and the dialect: rows and places of an interrupted read mean nothing in the other one."""
        return super().basis(account_id) | {"dialect": self.dialect}

    def window(self, account_id: str) -> tuple[Depth, date | None]:
        """Returns how deep to read, and from which day on: everything once a week, the look-back days once a day, else until
        nothing is new.

        Everything is read when the dialect has changed, too. A part would leave older rows under the ids of the other dialect,
        and the last page of that part would bring some of them once more.
        """
        cursor = self.cursors.get(account_id)
        if cursor is None or self.full or self._is_of_another_dialect(cursor):
            return "full", None
        if self.overdue(cursor.get("full_on"), self.full_read_days) or self.difference_is_due(account_id):
            return "full", None
        if held := self.held.get(account_id):
            since = min(date.fromisoformat(held["since"]), self.since or date.max)
            return ("full", None) if since == date.min else ("deep", since)
        if self.since is not None:
            # Never less than is due: the days between the last read and this one must not be passed over.
            return "deep", min(self.since, self.due_from(account_id))
        if self.overdue(cursor.get("deep_on"), 1):
            return "deep", self.due_from(account_id)
        return "shallow", None

    def marks(self, account_id: str, depth: str) -> dict[str, str | None]:
        """Returns what a read of this depth adds to the account's cursor."""
        if depth != "full":
            return {}
        marks: dict[str, str | None] = {"difference_on": self.today.isoformat()} if self.for_a_difference(account_id) else {}
        is_new = self._is_of_another_dialect(self.cursors.get(account_id, {}))
        return marks | ({"dialect": self.dialect} if is_new else {})

    def _is_of_another_dialect(self, cursor: Mapping[str, Any]) -> bool:
        return bool(cursor.get("dialect", "rest") != self.dialect)


@dataclass(frozen=True, kw_only=True)
class KontomatikPlan(ReadPlan):
    """How Kontomatik is read. An import covers all accounts of its consent from one day on."""

    pending_since: Mapping[str, date] = field(default_factory=dict)
    """Day of each account's oldest known reservation."""
    reserve: int = 0
    """Imports of each account's four in 24 hours that are reserved for manual use."""

    @property
    def reachable(self) -> date:
        """Returns the earliest day that a reused consent's answer can be claimed from."""
        return reachable(self.today)

    def claim(self, accounts: Sequence[str], *, may_deepen: bool = True) -> date:
        """Returns the first day that a reused consent's next answer shall cover: the earliest that one of its accounts needs.

        `--since` may reach further back, never less: what is due would be passed over. `may_deepen` is false when a deeper read
        has just failed: what is due comes first.
        """
        needs = [self.need(account_id, may_deepen=may_deepen) for account_id in accounts]
        if self.full or None in needs:
            return self.reachable
        return max(self.reachable, min(need for need in (*needs, self.since) if need is not None))

    def need(self, account_id: str, *, may_deepen: bool = True) -> date | None:
        """Returns the first day that this account's next read shall cover; None when it was never read to its beginning."""
        if held := self.held.get(account_id):
            return date.fromisoformat(held["since"])
        cursor = self.cursors.get(account_id)
        if cursor is None:
            return None
        due = self.due_from(account_id)
        if may_deepen and self.deeper_is_due(account_id):
            due = min(due, self.reachable)
        # A reservation that the bank has dropped is only missed by a read that reaches it.
        return max(min(due, self.pending_since.get(account_id, due)), self._not_before(account_id))

    def for_a_difference(self, account_id: str) -> bool:
        """Returns the same, unless the difference is older than the days that a reused consent shows."""
        return self.differences.get(account_id, date.min) >= self.reachable

    def deeper_is_due(self, account_id: str) -> bool:
        """Returns whether all that a reused consent shows is to be read again: once a week, and for a known difference."""
        cursor = self.cursors[account_id]
        last = max((day for name in ("far_on", "full_on") if (day := cursor.get(name))), default=None)
        return self.overdue(last, FAR_READ_DAYS) or self.difference_is_due(account_id)

    def reaches_back(self, since: date | None) -> bool:
        """Returns whether a read from `since` on is the deepest that a reused consent can make: more will never come."""
        return since is not None and since <= self.reachable

    def out_of_reach(self, account_id: str, first: date | None) -> bool:
        """Returns whether a backfill asks for days before `first`, the first day of an answer, that no earlier read brought."""
        cursor = self.cursors.get(account_id, {})
        if not self.backfill or self.since is None or first is None or cursor.get("full_on"):
            return False
        return self.since < min(first, date.fromisoformat(cursor.get("not_before") or date.max.isoformat()))

    def marks(self, account_id: str, since: date | None, as_of: date) -> dict[str, str | None]:
        """Returns what a read from `since` on, None for everything, adds to the account's cursor."""
        if since is not None and since > max(self.reachable, self._not_before(account_id)):
            return {}
        marks: dict[str, str | None] = {"far_on": as_of.isoformat()}
        return marks | {"difference_on": as_of.isoformat()} if self.for_a_difference(account_id) else marks

    def gap(self, account_id: str, since: date | None) -> tuple[date, date] | None:
        """Returns the days that can never be read: after the last complete read, before what a reused consent still shows."""
        cursor = self.cursors.get(account_id)
        if cursor is None or since is None:
            return None
        first = date.fromisoformat(cursor["through"]) + timedelta(days=1)
        return (first, since - timedelta(days=1)) if first < since else None

    def _not_before(self, account_id: str) -> date:
        """Returns the first day that `connect --since` asked for, unless a later first import has read everything."""
        cursor = self.cursors.get(account_id, {})
        return date.fromisoformat(cursor["not_before"]) if cursor.get("not_before") else date.min
