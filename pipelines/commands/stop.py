"""Stops on signals: SIGINT and SIGTERM end a command with 130, whatever it was doing."""

import os
import signal
from types import FrameType
from typing import NoReturn

from pipelines.errors import INTERRUPTED

SENTENCE = "Interrupted. What was published before is untouched; run again to go on."


class Stop:
    """Hears the signals of this process. `asked` stays true: a library may turn the interrupt into an error of its own."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Begins to listen for signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> NoReturn:
        """Stops the command at its next safe place; the second time at once. Nothing is lost: files are only renamed."""
        self.asked = True
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))
        raise KeyboardInterrupt
