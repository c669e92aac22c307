"""What a command ends with, and why.

Failure
├── WrongUsage     2: an option, a setting or a credential is missing or cannot be understood
├── Busy           1: another process holds the data directory
├── NothingToRead  1: no bank is configured, or none has anything to read (`run/sources.py`)
├── RawBroken      1: the history cannot be read or written
└── ChecksFailed   3: the new ledger does not hold what raw history holds; the one before stays

Each is one sentence with the cause and one with the next step; the command line prints them and nothing else.
"""

import traceback
from pathlib import Path
from typing import ClassVar

GOOD = 0
FAILED = 1
WRONG_USAGE = 2
CHECKS_FAILED = 3
PARTIAL = 4
INTERRUPTED = 130


class Failure(Exception):
    """A command cannot go on."""

    exit_status: ClassVar[int] = FAILED

    def __init__(self, cause: str, next_step: str = "") -> None:
        self.cause = cause
        self.next_step = next_step
        super().__init__(self._text())

    def also(self, sentence: str) -> None:
        """Adds what somebody has to know beside the next step."""
        self.next_step = f"{self.next_step}. {sentence}" if self.next_step else sentence
        self.args = (self._text(),)

    def _text(self) -> str:
        after = f" {self.next_step}" if self.next_step else ""
        return f"{self.cause}.{after}" + ("." if after and not after.endswith("?") else "")


class WrongUsage(Failure):
    """The person at the keyboard, or the configuration, has to change something."""

    exit_status = WRONG_USAGE


class Busy(Failure):
    """One run at a time per data directory."""


class RawBroken(Failure):
    """Raw history cannot be opened, copied or written."""


class ChecksFailed(Failure):
    """The new ledger is not published."""

    exit_status = CHECKS_FAILED


def where(error: BaseException) -> str:
    """Returns the kind of the fault and its line in our code: all that may be shown of it, since its text may hold a row."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-1] if frames else None
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}" if frame else type(error).__name__


def places(error: BaseException) -> str:
    """Returns the lines of code that led to a fault, the outermost first, without any value."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno}" for one in frames)


def unexpected(error: BaseException) -> str:
    """Returns the sentence for an error that is no `Failure`, without the data that its text may hold."""
    if type(error).__name__ == "OutOfMemoryException":  # DuckDB's, which most commands do not import
        return (
            "DuckDB needs more memory than it may use. What was published is untouched. Raise or remove the setting "
            "pipelines.memory_mb, or give the process more memory."
        )
    return f"A fault in this program: {where(error)}. What was published is untouched. Please report it."
