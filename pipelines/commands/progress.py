"""How a command shows that it goes on: bars for a person, else one sentence when it waits."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.commands.terminal import say
from pipelines.read.options import Progress

if TYPE_CHECKING:
    from pipelines.read.options import Progress


class Quiet(Progress):
    """Says once on standard error that the work waits."""

    def __init__(self) -> None:
        self._has_said = False

    def waits(self, text: str) -> None:
        """Receives that the work waits, for a minute or more."""
        if not self._has_said:
            self._has_said = True
            say(f"{text}.", error=True)


@contextmanager
def progress_for(options: argparse.Namespace) -> Iterator["Progress"]:
    """Progress bars on standard error, for a person who is watching."""
    if getattr(options, "json", False) or not sys.stderr.isatty():
        yield Quiet()
        return
    from pipelines.commands.progress_bars import Bars

    with Bars() as bars:
        yield bars
