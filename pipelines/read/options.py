"""What a person asked of a run, and who hears how it goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.consents.sign_in import Opening
    from pipelines.consents.vault import Vault
    from sources.kontomatik.client import KontomatikClient


SOURCES = ("kontist", "kontomatik")


def utc_now() -> datetime:
    """The time, as everything here takes it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Options:
    """What the person asked of this run."""

    sources: tuple[str, ...] = ()
    since: date | None = None
    full_refresh: bool = False
    accept_removals: tuple[str, ...] = ()
    reserve: int = 0
    """Imports of each account's four in 24 hours that are kept back for people."""
    due_after: timedelta | None = None
    """Only consents that were last imported at least so long ago; None: all of them."""
    start_new: bool = False
    """Begin anew what is missing of raw history, vault and ledger, and keep together what is there."""


class Progress:
    """Hears how the work goes on. The command line shows it; here it is silence."""

    def stage(self, text: str) -> None:
        """A stage begins, or one more account is being read."""

    def step(self, text: str, done: int, total: int) -> None:
        """One of a known number of steps."""

    def waits(self, text: str) -> None:
        """The work waits, for a minute or more."""
        self.stage(text)


Openings = Callable[["Vault", "KontomatikClient"], "Sequence[Opening]"]
