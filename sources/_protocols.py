"""What a source hands over, and what it may ask of the one who reads.

A source never sees raw history. It fills a `Spool` with what the bank shows, in the bank's order, and may ask `Known`
whether a page brings anything new. The spool is on disk, so that a history of any length costs one batch of memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

import pyarrow as pa

Depth = Literal["shallow", "deep", "full"]
"""How far a read goes: until nothing is new, through the look-back days, or through all that the bank has."""


class Spool(Protocol):
    """The transactions of one account as the bank shows them, in its order; schema `read_by_source(TRANSACTIONS)`."""

    def add(self, rows: pa.RecordBatch) -> None:
        """Keeps these rows behind the ones before."""

    def add_in_front(self, rows: pa.RecordBatch) -> None:
        """Keeps these rows in front of all others."""

    def reject(self, reason: str, payload: dict[str, Any], window_on: date | None) -> None:
        """Keeps a row that cannot be understood, for quarantine. `payload` is the bank's row; values are redacted later.

        `window_on` is its day, or its nearest newer neighbour's where it has none that can be read.
        """

    def clear(self) -> None:
        """Forgets everything: the read starts again."""


class Keeper(Protocol):
    """Keeps the parts of a long read beyond the process, for the run that resumes it."""

    def kept(self) -> Iterator[bytes]:
        """Yields the parts of the interrupted read, in their order; none if it is too old or belongs to another read."""

    def keep(self, part: bytes) -> None:
        """Keeps one more part, whole or not at all. Never raises: a read that cannot be kept goes on."""

    def forget(self) -> None:
        """Drops all parts."""


class Known(Protocol):
    """What raw history holds of one account."""

    def unchanged(self, rows: pa.RecordBatch) -> bool:
        """Returns True when each of `rows` is known, booked or pending, exactly as it is shown now."""

    def oldest_pending(self) -> date | None:
        """Returns the day of the oldest row that is pending as far as we know: a read has to reach it."""

    def balance_before(self, since: date | None) -> int | None:
        """Returns the balance, in minor units, before the booked rows from `since` on (None: before all of them).

        As the last read left it; None where nothing is known of the account.
        """


@dataclass(frozen=True)
class Reading:
    """One account, read to the end of what was asked for.

    From `since` on the spool holds all that the bank shows; None means all that the bank has. `complete` is False when the
    bank itself cut the answer short: then absence means nothing.
    """

    depth: Depth
    since: date | None
    complete: bool = True
    requests: int = 0
    account: Mapping[str, Any] | None = None
    """The account's row as the bank showed it last, if it was asked for again because rows arrived meanwhile."""
    unknown_fields: frozenset[str] = field(default_factory=frozenset)
