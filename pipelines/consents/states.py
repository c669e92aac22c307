"""The life of a consent: which states there are, and which moves between them are allowed.

    pending ──▶ active ──▶ expiring ──▶ expired
       │           │           │           │
       ▼           ├───────────┼──▶ replaced
    expired        ▼           ▼       ▼   ▼
                revoking ◀─────┴───────┴───┘
                   │
                   ▼
                revoked ──▶ erased

`pending`: a sign-in was started, there is no token yet. `active`, `expiring` (30 days or less): imports run. `expired`: its
time is over, or the bank says that it is gone. `replaced`: a newer consent of the same customer took over. `revoking`: somebody
asked for its end, and the bank has not confirmed it yet. `revoked`: the bank said so, or said that it was gone already.
`erased`: its data is gone too.

Only time goes back: what is `expiring` or `expired` by this machine's clock is `active` again when its end turns out to lie
ahead, because the clock was wrong. What the bank has ended stays so.

A consent whose erasure somebody has asked for is shown as `erasing` until it is `erased`, whichever of these states it is in:

    any state ── erase ──▶ shown as `erasing` ──▶ revoking ──▶ revoked ──▶ erased
        ▲                          │
        └──── erase --cancel ──────┘   (until its first row is removed; `revoking` and `revoked` stay so)
"""

from datetime import timedelta
from typing import Literal, get_args

State = Literal["pending", "active", "expiring", "expired", "replaced", "revoking", "revoked", "erased"]
STATES: tuple[State, ...] = get_args(State)

MOVES: dict[State, frozenset[State]] = {
    "pending": frozenset({"active", "expired"}),
    "active": frozenset({"expiring", "expired", "replaced", "revoking"}),
    "expiring": frozenset({"active", "expired", "replaced", "revoking"}),
    "expired": frozenset({"active", "revoking", "erased"}),
    "replaced": frozenset({"revoking"}),
    "revoking": frozenset({"revoked"}),
    "revoked": frozenset({"erased"}),
    "erased": frozenset(),
}
USABLE: tuple[State, ...] = ("active", "expiring")
"""States in which imports run."""

UNNAMED = "bank not named yet"
"""The institution of a consent until its first import names it."""

LIFETIME = timedelta(days=180)
"""A Multiple Access consent lasts up to 180 days (vendor); no call returns the real end, so we count from the sign-in."""
WARNINGS = (30, 14, 7, 1)
"""Days before the end at which people are warned, each once more urgent."""
LOGIN_WARNINGS = WARNINGS[1:]
"""The same for a login at Kontist: it lives 30 days, and a warning from the first day on warns of nothing."""


class MoveRefused(ValueError):
    """A consent cannot go from one state to another."""

    def __init__(self, consent_id: str, now: str, to: str) -> None:
        self.now = now
        super().__init__(f"consent {consent_id} is {now} and cannot become {to}")


def warnings_of(*, login: bool) -> tuple[int, ...]:
    """Returns the days before the end at which people are warned of a consent, or of a `login`."""
    return LOGIN_WARNINGS if login else WARNINGS


def warning(days_left: int | None, *, login: bool = False) -> int | None:
    """Returns the tightest warning that is due with `days_left` whole days left, or None."""
    due = (days for days in warnings_of(login=login) if days_left is not None and days_left <= days)
    return min(due, default=None)
