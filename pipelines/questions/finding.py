"""One thing that `doctor` has looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` says what to do about it where it is not `fine`."""

    about: str
    level: Literal["fine", "note", "wrong"]
    found: str
    remedy: str = ""
