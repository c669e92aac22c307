"""Sends one digest of the new notices of many cells: a mail for each would be a thousand mails."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pipelines.notify.channels import usable
from pipelines.notify.dispatch import Dispatched
from pipelines.notify.notices import Notice
from pipelines.notify.outbox import Outbox
from pipelines.settings import Settings

FLEET = "fleet"
"""The recipient that a cell's outbox knows."""
MOST = 100
"""Notices with their text in one digest."""


def send_digest(settings: Settings, cells: Iterable[str], now: datetime) -> Dispatched:
    """Collects what is new in the outboxes of these cells, and sends each channel one notice of all that it has not had yet.

    A notice stays in its cell's outbox until the fleet's has it, and there until each channel has it.
    """
    found, wrong = usable(settings.notifications)
    done = Dispatched(wrong=[str(refused) for refused in wrong])
    if not found and not wrong:
        return done
    fleet = Outbox(settings.fleet.folder)
    for cell in cells:
        folder = settings.fleet.folder / cell
        if (folder / "outbox.sqlite").exists():
            Outbox(folder).deliver({FLEET: lambda notice, cell=cell: _collected(fleet, cell, notice, now)}, now)  # type: ignore[misc]
    done.delivery = fleet.deliver(found, now, digest=digest)
    return done


def digest(notices: list[Notice]) -> Notice:
    """Returns one notice of several, the first `MOST` with their text."""
    count = f"{len(notices)} notice{'s' if len(notices) != 1 else ''}"
    texts = [f"{notice.subject}\n{notice.text}" for notice in notices[:MOST]]
    more = [f"And {len(notices) - MOST} more: see each cell's `status`."] if len(notices) > MOST else []
    kinds = ", ".join(f"{kind} ×{number}" for kind, number in sorted(Counter(one.kind for one in notices).items()))
    payload: dict[str, str | int | None] = {"notices": len(notices), "kinds": kinds}
    return Notice("digest", "digest", f"{count} of the fleet", "\n\n".join([*texts, *more]), payload)


def _collected(fleet: Outbox, cell: str, notice: Notice, now: datetime) -> bool:
    fleet.put_over(replace(notice, subject=f"{cell}: {notice.subject}"), now)
    return True
