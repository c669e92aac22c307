"""What came of each account in one run: the rows of `imports`, the lines of the summary, the fields of `--json`."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from pipelines.read.spool import SpoolFile
from sources._protocols import Depth

Status = Literal["complete", "partial", "failed", "skipped", "doubted"]


@dataclass(frozen=True)
class Counts:
    """Transactions that this read brought, changed and took away; by transaction, not by version."""

    new: int = 0
    changed: int = 0
    removed: int = 0


@dataclass
class Outcome:
    """One attempt to read one account, or one consent or login whose accounts could not even be listed."""

    source: str
    started_at: datetime
    account_id: str | None = None
    consent_id: str | None = None
    institution: str = ""
    account: str = ""
    """How people are told which account: its last four characters."""
    currency: str | None = None
    balance: Decimal | None = None
    status: Status = "failed"
    depth: str | None = None
    window_start: date | None = None
    window_end: date | None = None
    finished_at: datetime | None = None
    as_of: datetime | None = None
    """The moment that the bank's answer is of, where an earlier run asked for it; None: of this run."""
    rows: int = 0
    counts: Counts = field(default_factory=Counts)
    quarantined: int = 0
    requests: int = 0
    reason: str | None = None
    unknown_fields: tuple[str, ...] = ()
    passing: bool = False
    """Whether asking again soon may help: the bank was away, and nothing was spent."""
    import_id: str = field(default_factory=lambda: f"i-{secrets.token_hex(8)}")

    def end(self, status: Status, reason: str | None = None) -> "Outcome":
        """Say how it ended."""
        self.status = status
        self.reason = reason
        self.finished_at = max(datetime.now(UTC), self.started_at)  # a clock may be set back in between
        return self

    @property
    def troubled(self) -> bool:
        """Whether someone has to know: something was not read, or a row was not understood."""
        return self.status in ("failed", "partial", "doubted") or (self.status == "complete" and self.reason is not None)

    def as_import(self, run_id: str) -> dict[str, Any]:
        """The row of `imports`."""
        return {
            "import_id": self.import_id,
            "run_id": run_id,
            "account_id": self.account_id,
            "consent_id": self.consent_id,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "as_of": self.as_of,
            "status": self.status,
            "depth": self.depth,
            "window_start": self.window_start,
            "window_end": self.window_end,
            "rows": self.rows,
            "new_rows": self.counts.new,
            "changed_rows": self.counts.changed,
            "removed_rows": self.counts.removed,
            "requests": self.requests,
            "reason": self.reason,
        }

    def named(self) -> dict[str, str | None]:
        """How `--json` names it with its reason."""
        return {"account": self.account_id, "consent": self.consent_id, "label": self.account, "reason": self.reason}


@dataclass
class BankRun:
    """One bank's part of a run."""

    source: str
    outcomes: list[Outcome] = field(default_factory=list)
    requests: int = 0
    imports: int = 0

    @property
    def read(self) -> list[Outcome]:
        """Accounts that gave something."""
        return [outcome for outcome in self.outcomes if outcome.status in ("complete", "partial")]

    @property
    def counts(self) -> Counts:
        """Of all its accounts."""
        parts = [outcome.counts for outcome in self.outcomes]
        return Counts(sum(p.new for p in parts), sum(p.changed for p in parts), sum(p.removed for p in parts))


@dataclass
class Answer:
    """One account as its bank shows it, before it is compared with raw history."""

    outcome: Outcome
    account: dict[str, Any]
    """The row of `accounts`, without hash and import."""
    spool: SpoolFile
    depth: Depth
    since: date | None
    as_of: date
    """The day on which the bank answered."""
    complete: bool = True
    depth_known: bool = True
    newest_first: bool = True
    earns_cursor: bool = True
    """False for an account first seen by a read that did not go back to its beginning: the next read must."""
    marks: dict[str, str | None] = field(default_factory=dict)
    """What else the account's cursor remembers of this read (`pipelines/read/windows.py`), also when it was cut short or not
    believed: it is not made again at every run."""
    trouble: str | None = None
    """What else of this account could not be read; its transactions are not touched by it."""
    hole: tuple[date, date] | None = None
    """Days between the last complete read and this one that the bank no longer shows."""
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Small tables of this account that were read whole (orders)."""
