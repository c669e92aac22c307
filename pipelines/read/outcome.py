"""Outcomes and answers of each account in one run: the rows of `imports`, the lines of the summary, the fields of `--json`."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pipelines.store.banks import Bank
from sources._protocols import Depth

if TYPE_CHECKING:
    from sources._spool import SpoolFile
    from sources.kontist.unasked import Unasked

Status = Literal["complete", "partial", "failed", "skipped", "doubted"]


@dataclass(frozen=True)
class Counts:
    """Transactions that a read adds, changes and removes; by transaction, not by version."""

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
    """The account's name for people: its kind and its last four characters."""
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
    retryable: bool = False
    """Whether another attempt may soon succeed: the bank was away, and nothing was spent."""
    import_id: str = field(default_factory=lambda: f"i-{secrets.token_hex(8)}")

    def end(self, status: Status, reason: str | None = None) -> "Outcome":
        """Notes how it ended; returns itself."""
        self.status = status
        self.reason = reason
        self.finished_at = max(datetime.now(UTC), self.started_at)  # a clock may be set back in between
        return self

    @property
    def troubled(self) -> bool:
        """Returns whether somebody has to know: something was not read, or a row was not understood."""
        return self.status in ("failed", "partial", "doubted") or (self.status == "complete" and self.reason is not None)

    def as_import(self, run_id: str) -> dict[str, Any]:
        """Returns the row of `imports`."""
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
        """Returns how `--json` names it, with its reason."""
        return {"account": self.account_id, "consent": self.consent_id, "label": self.account, "reason": self.reason}


def login_outcome(bank: Bank, started_at: datetime, consent_id: str | None = None) -> Outcome:
    """Returns the outcome of a whole login, whose accounts are not known."""
    return Outcome(bank.name, started_at, consent_id=consent_id, institution=bank.title, account="login")


@dataclass
class BankRun:
    """One bank's part of a run."""

    source: str
    outcomes: list[Outcome] = field(default_factory=list)
    requests: int = 0
    imports: int = 0

    @property
    def read(self) -> list[Outcome]:
        """Returns the accounts that gave something."""
        return [outcome for outcome in self.outcomes if outcome.status in ("complete", "partial")]

    @property
    def counts(self) -> Counts:
        """Returns the counts of all its accounts."""
        parts = [outcome.counts for outcome in self.outcomes]
        return Counts(sum(p.new for p in parts), sum(p.changed for p in parts), sum(p.removed for p in parts))


@dataclass
class Answer:
    """One account as its bank shows it, before it is compared with raw history."""

    outcome: Outcome
    account: dict[str, Any]
    """The row of `accounts`, without hash and import."""
    spool: "SpoolFile"
    depth: Depth
    since: date | None
    as_of: date
    """The day on which the bank answered."""
    complete: bool = True
    """False: the bank cut it short; what it leaves out is not claimed to be gone."""
    depth_known: bool = True
    newest_first: bool = True
    earns_cursor: bool = True
    """False for an account first seen by a read that did not go back to its beginning: the next read must."""
    marks: dict[str, str | None] = field(default_factory=dict)
    """Days that this read adds to the account's cursor (`pipelines/read/windows.py`), also when it was cut short or held for
    confirmation: it is not made again at every run."""
    trouble: str | None = None
    """Sentence about another list of this account that could not be read; its transactions are not touched by it."""
    gap: tuple[date, date] | None = None
    """First and last day of a gap in coverage: between the last complete read and this one, no longer shown."""
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Small tables of this account that were read whole (orders)."""
    unasked: "Mapping[str, Unasked]" = field(default_factory=dict)
    """By table the columns that the bank was not asked for: what is known of them stays."""


@dataclass
class Reading:
    """What one task, or all tasks of one bank, read."""

    run: BankRun
    answers: list[Answer] = field(default_factory=list)
    whole_lists: set[str | None] = field(default_factory=set)
    """Consents whose list of accounts was read; None for Kontist's login."""
    owners: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)
    """Consent to the import that showed its owners, and the owners."""
    attempts: list[tuple[str, str]] = field(default_factory=list)
    """Consents and their attempts, to be ended as done once their answers are in raw history."""
    notes: list[str] = field(default_factory=list)
    """Sentences that somebody should know, and that are no failure."""
    state: dict[str, Any] = field(default_factory=dict)
    """Parts of the bank's state in dlt, beside the cursors, that this read has set."""

    def add(self, part: "Reading") -> None:
        """Adds what another task of the same bank read."""
        self.run.outcomes += part.run.outcomes
        self.run.imports += part.run.imports
        self.answers += part.answers
        self.whole_lists |= part.whole_lists
        self.owners |= part.owners
        self.attempts += part.attempts
        self.notes += part.notes
        self.state |= part.state
