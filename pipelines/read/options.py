"""What a person asks of a run, and who is shown its progress."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.consents.sign_in import Opening
    from pipelines.consents.vault import Vault
    from pipelines.store.banks import Bank
    from sources.kontomatik.client import KontomatikClient


def utc_now() -> datetime:
    """Returns the time, as everything here takes it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Options:
    """What the person asks of this run."""

    sources: tuple[str, ...] = ()
    """Names of the banks that are asked for; empty: all."""
    _: KW_ONLY
    since: date | None = None
    full_refresh: bool = False
    backfill: bool = False
    """An account is unread while it is not read back to `since`."""
    accept_removals: tuple[str, ...] = ()
    reserve: int = 0
    """Imports of each account's four in 24 hours that are reserved for manual use."""
    due_after: timedelta | None = None
    """Only consents whose last import is at least this long ago; None: all of them."""
    start_new: bool = False
    """Begin anew what is missing of raw history, vault and ledger, and keep together what is there."""

    def asks_for(self, bank: "Bank") -> bool:
        """Returns whether this bank is to be read."""
        return not self.sources or bank.name in self.sources

    def accepts_removals_of(self, account_id: str | None) -> bool:
        """Returns whether the person believes what the bank removed or changed in this account."""
        return account_id in self.accept_removals


class Progress:
    """Receives the progress of a run. The command line shows it; this one ignores it."""

    def stage(self, text: str) -> None:
        """Receives that a stage begins, or that one more account is being read."""

    def step(self, text: str, done: int, total: int) -> None:
        """Receives one of a known number of steps."""

    def waits(self, text: str) -> None:
        """Receives that the work waits, for a minute or more."""
        self.stage(text)


Openings = Callable[["Vault", "KontomatikClient"], "Sequence[Opening]"]
"""Chooses what is read of Kontomatik; raises `SourceError`."""
