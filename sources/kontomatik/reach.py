"""How far back a reused consent shows, and how often all of it is asked for."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

WARSAW = ZoneInfo("Europe/Warsaw")
"""The banks' calendar. Prague, where the others of its banks are, shares Warsaw's clock."""
REUSE_DAYS = 90
"""Days that a reused consent shows at most (vendor); its first session shows all that the bank has."""
FAR_READ_DAYS = 7
"""Days after which Kontomatik is asked for all that a reused consent shows: depth costs no quota."""


def reachable(today: date) -> date:
    """Returns the earliest day that a reused consent's answer can be claimed from."""
    return today - timedelta(days=REUSE_DAYS - 2)


def to_ask(since: date | None) -> date | None:
    """Returns the day to ask for where the answer shall be whole from `since` on: it may be read as "after" and against either
    date, so one day more."""
    return since - timedelta(days=1) if since else None
