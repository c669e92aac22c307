"""Checks this machine's clock.

Consents, quotas and days to read are counted by it. A mark in the data directory keeps what it showed last, and how long this
machine had been up then, so the time since is known without the clock. Where the two differ, the `Date` of a bank's answer
decides. While the clock is wrong, nothing is read, expired or counted.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.store.atomic_files import replacing, write_private
from sources._errors import SourceError

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault
    from pipelines.settings import Settings

MAY_DIFFER = timedelta(minutes=10)
"""Between two clocks that both are right: slow answers, a cache on the way, a correction."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
UP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system has such a clock."""


class ClockWrong(WrongUsage):
    """This machine's clock is wrong."""


@dataclass(frozen=True)
class Mark:
    """What the clock showed once, and how long the machine had been up."""

    at: datetime
    boot: str
    seconds_up: float

    def expected(self) -> datetime | None:
        """Returns what the clock shows now unless somebody has set it; None after a restart, or where restarts are unknown."""
        boot = _boot()
        with suppress(OverflowError):  # a damaged mark
            return self.at + timedelta(seconds=_seconds_up() - self.seconds_up) if boot and boot == self.boot else None
        return None


def check(settings: "Settings", now: Callable[[], datetime], vault: "Vault | None" = None, *, ask: bool = True) -> None:
    """Raises `ClockWrong` when the clock is wrong or has jumped; else remembers what it shows.

    A bank is asked, which costs one request and no quota, only where the mark does not confirm the clock: after a restart and
    after a jump. Without `ask` and without a jump none is: where nothing is stored, nothing can be expired.
    """
    shown = now()
    mark = _read(settings.data_dir)
    expected = mark.expected() if mark else None
    if expected is None or not _near(shown, expected):
        jump = _jump(mark, shown)
        bank, bank_says = bank_time(settings, vault) if ask or jump else ("", None)
        if bank_says is not None and not _near(shown, bank_says):
            raise ClockWrong(
                f"This machine's clock says {_minute(shown)}, that of {bank} {_minute(bank_says)}",
                "Set this machine's clock (ntp), then run again; nothing was read, expired or counted",
            )
        if bank_says is None and jump:
            raise ClockWrong(
                f"{jump}, and no bank says which is right; nothing was read, expired or counted",
                f"Set this machine's clock (ntp). If it is right, remove {_path(settings.data_dir)}",
            )
    _write(settings.data_dir, Mark(shown, _boot(), _seconds_up()))


def jumped(data_dir: Path, now: datetime) -> str | None:
    """Returns a sentence when the clock has jumped since it was last right. Asks no bank."""
    return _jump(_read(data_dir), now)


def bank_time(settings: "Settings", vault: "Vault | None" = None) -> tuple[str, datetime | None]:
    """Returns the configured bank that was asked last, and the time in the `Date` of its answer; None when none gave one."""
    from sources._http import Http, Patience, moment_of

    asked = ""
    for asked, base_url, path in _banks(settings, vault):
        with suppress(SourceError):
            http = Http(asked, base_url, patience=Patience(()))
            try:
                bank_says = moment_of(http.request("GET", path).headers.get("Date", ""))
            finally:
                http.close()
            if bank_says is not None:
                return asked, bank_says
    return asked, None


def _banks(settings: "Settings", vault: "Vault | None") -> list[tuple[str, str, str]]:
    banks = []
    if settings.kontomatik.configured:
        banks.append(("kontomatik", settings.kontomatik.base_url, "health"))
    if settings.kontist.configured or (vault is not None and vault.consents(source="kontist", status=("active", "expiring"))):
        banks.append(("kontist", settings.kontist.base_url, "api"))
    return banks


def _jump(mark: Mark | None, shown: datetime) -> str | None:
    if mark is None:
        return None
    expected = mark.expected()
    if expected is not None and not _near(shown, expected):
        way = "forward" if shown > expected else "back"
        return f"This machine's clock has jumped {way} by {_length(abs(shown - expected))} since it was last right"
    if expected is None and mark.at - shown > MAY_DIFFER:
        return f"This machine's clock shows {_length(mark.at - shown)} less than it did at the last run"
    return None


def _near(one: datetime, other: datetime) -> bool:
    return abs(one - other) <= MAY_DIFFER


def _length(span: timedelta) -> str:
    return f"{span.days} days" if span.days else f"{span.seconds // 60} minutes"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _seconds_up() -> float:
    return time.clock_gettime(UP)


def _path(data_dir: Path) -> Path:
    return data_dir / "clock.json"


def _read(data_dir: Path) -> Mark | None:
    try:
        stored = json.loads(_path(data_dir).read_text(encoding="utf-8"))
        at = datetime.fromisoformat(stored["at"]).astimezone(UTC)
        return Mark(at, str(stored["boot"]), timedelta(seconds=stored["seconds_up"]).total_seconds())
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _write(data_dir: Path, mark: Mark) -> None:
    """Replaces the mark. A full disk is reported by the code that needs the space."""
    about = {"at": mark.at.isoformat(), "boot": mark.boot, "seconds_up": mark.seconds_up}
    with suppress(OSError), replacing(_path(data_dir)) as new:
        write_private(new, json.dumps(about))
