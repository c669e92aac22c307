"""Progress where nobody watches: silence, but for what would be taken for a program that hangs."""

from pipelines.run import Progress
from pipelines.terminal import say


class Quiet(Progress):
    """Says once on standard error that the work waits."""

    def __init__(self) -> None:
        self._said = False

    def waits(self, text: str) -> None:
        """The work waits, for a minute or more."""
        if not self._said:
            self._said = True
            say(f"{text}.", error=True)
