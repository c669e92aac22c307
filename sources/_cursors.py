"""How far a dlt source reads, in the words of `dlt.sources.incremental`, and whether something is due again."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

Day = str | date | None
"""A day as dlt users write it: `"2025-01-01"`, a date, or a moment, of which the day counts."""
LONGEST_LAG = 36_500
"""Days; a longer one would reach back beyond the calendar."""


def overdue(last: str | None, days: int, today: date) -> bool:
    """Returns whether `last` is at least this many days ago, or never was."""
    return last is None or (today - date.fromisoformat(last)).days >= days


def day_of(value: Any) -> date | None:
    """Returns the day; None for None. Raises `ValueError` for what is none."""
    match value:
        case None:
            return None
        case datetime():
            return value.date()
        case date():
            return value
        case str():
            return datetime.fromisoformat(value).date()
    raise ValueError(f"{type(value).__name__} is no day: give YYYY-MM-DD")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The days that a person asks for. Each account has a cursor of its own, and these mean the same for each."""

    initial_value: date | None
    """First day of an account without a cursor; None: all that the bank has."""
    end_value: date | None
    """Day before which rows are loaded; then cursors are neither used nor moved (a backfill)."""
    lag: int
    """Days before the cursor that are read again."""

    @classmethod
    def of(cls, since: Day, initial_value: Day, end_value: Day, lag: int, *, today: date) -> "Asked":
        """Returns what the arguments of a source ask for. `since` is another name of `initial_value`.

        Raises `ValueError` for what can only be a slip: a cursor would keep it and leave out rows.
        """
        if since is not None and initial_value is not None:
            raise ValueError("since and initial_value are the same: give one of them")
        first, end = day_of(since if since is not None else initial_value), day_of(end_value)
        if first is not None and end is not None and end <= first:
            raise ValueError("end_value must be a day after initial_value")
        if first is not None and first > today:
            raise ValueError(f"the first day {first} lies in the future: nothing before it would ever be read")
        if not 0 <= lag <= LONGEST_LAG:
            raise ValueError(f"lag must be a number of days from 0 to {LONGEST_LAG}")
        return cls(initial_value=first, end_value=end, lag=lag)

    @property
    def is_backfill(self) -> bool:
        """Returns whether it leaves the cursors alone."""
        return self.end_value is not None
