"""The deadline of a run. After it no bank is asked anything new; answers until then are loaded and published."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from sources._errors import OutOfTime


@dataclass(frozen=True)
class Deadline:
    """A number of seconds from now on; 0 is no deadline. Counted by a clock that only goes forward."""

    seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "began", self.clock())

    @property
    def left(self) -> float:
        """Returns the seconds until it is over, 0 from then on."""
        return max(0.0, self.began + self.seconds - self.clock()) if self.seconds else inf

    def keep(self, bank: str) -> None:
        """Raises `OutOfTime` once it is over."""
        if not self.left:
            raise OutOfTime(bank)


NONE = Deadline()
