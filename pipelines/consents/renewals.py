"""Renewals of Kontist's login: one at a time per data directory, and a mark of the one that is under way.

Where the bank gives a new refresh token with each renewal, the old one is worthless from then on. A process that is killed
between the bank's answer and the storage loses the new one. Its mark stays, and the next refusal can say why.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pipelines.store.lock import locked
from sources._errors import ConsentGone, Unreached

MARK = "kontist.renewal"
"""Holds the moment at which a renewal began, until its answer is stored."""


@contextmanager
def one_renewal(data_dir: Path) -> Iterator[None]:
    """Holds the lock of all processes that renew one data directory's login. The kernel releases it with its process."""
    with locked(data_dir / "kontist.lock"):
        yield


@contextmanager
def marked(data_dir: Path, now: datetime) -> Iterator[str | None]:
    """Marks a renewal; yields the moment of an earlier one that was cut off, else None. The lock must be held.

    The mark stays when nobody knows what the bank did: after a kill, and when no answer came.
    """
    mark = data_dir / MARK
    before = _moment(mark)
    with suppress(OSError):  # it only informs; a full disk is reported by what needs the room
        mark.touch(mode=0o600)
        mark.write_text(before or f"{now:%Y-%m-%d %H:%M} UTC", encoding="utf-8")
    try:
        yield before
    except (ConsentGone, Unreached):
        _removed(mark)
        raise
    else:
        _removed(mark)


def _moment(mark: Path) -> str | None:
    try:
        text = mark.read_text(encoding="utf-8")
        datetime.strptime(text, "%Y-%m-%d %H:%M UTC")  # noqa: DTZ007 (only its form matters)
    except (OSError, ValueError):
        return None
    return text


def _removed(mark: Path) -> None:
    with suppress(OSError):
        mark.unlink()
