"""The report of a run, and the exit status that it means."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL
from pipelines.read.outcome import BankRun, Outcome

if TYPE_CHECKING:
    from pipelines.run.accounts import Account
    from pipelines.run.closed_changes import ClosedChange
    from pipelines.store.ledger import Published
    from transforms.checks import CheckResult
    from transforms.run_record import Status


@dataclass
class Report:
    """All that a run reports."""

    run_id: str
    banks: list[BankRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences that somebody should know, and that are no failure: banks left out, consents that end soon."""
    gaps: list[dict[str, Any]] = field(default_factory=list)
    """Gaps in coverage that can never be closed, of any account, whenever they were noticed."""
    stale: list[dict[str, Any]] = field(default_factory=list)
    """Accounts that should be read and were not for too long (`stale_hours`), this run included."""
    closed_changes: "list[ClosedChange]" = field(default_factory=list)
    """What banks have changed in closed months since the ledger before: each change is in the report of one run."""
    accounts: "list[Account]" = field(default_factory=list)
    """Every account of the published ledger, with its coverage and reconciliation."""
    published: "Published | None" = None
    checks: "list[CheckResult]" = field(default_factory=list)
    refused: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """Returns the outcomes of all banks."""
        return [outcome for bank in self.banks for outcome in bank.outcomes]

    @property
    def all_failed(self) -> bool:
        """Returns whether there was something to read, and nothing of it could be read."""
        return bool(self.outcomes) and all(outcome.status == "failed" for outcome in self.outcomes)

    @property
    def exit_status(self) -> int:
        """Returns the exit status, as the contract has it."""
        if self.refused is not None:
            return CHECKS_FAILED
        if self.published is None:
            return FAILED
        looked_at = self.stale or self.closed_changes or any(outcome.troubled for outcome in self.outcomes)
        return PARTIAL if looked_at else GOOD

    @property
    def status(self) -> "Status":
        """Returns the exit status in a word."""
        words: dict[int, Status] = {GOOD: "ok", PARTIAL: "partial", CHECKS_FAILED: "checks_failed"}
        return words.get(self.exit_status, "failed")
