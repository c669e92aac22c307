"""How a command shows that it goes on: bars for a person, else one sentence when it waits."""

import argparse
import sys
import time
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


class Steps(Progress):
    """Says each step with its time on standard error, for whoever looks for what takes long."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._last = ""

    def stage(self, text: str) -> None:
        """Shows that a stage begins."""
        if text != self._last:
            self._last = text
            say(f"{time.perf_counter() - self._began:8.2f} s  {text}", error=True)

    def step(self, text: str, done: int, total: int) -> None:  # noqa: ARG002
        """Shows one of a known number of steps, without its number: one of 4,000 pages is no news."""
        self.stage(text)


@contextmanager
def progress_for(options: argparse.Namespace) -> Iterator["Progress"]:
    """Progress bars on standard error, for a person who is watching; with `--verbose` lines, with `--quiet` nothing."""
    if getattr(options, "quiet", False):
        yield Progress()
        return
    if getattr(options, "verbose", False):
        yield Steps()
        return
    if getattr(options, "json", False) or not sys.stderr.isatty():
        yield Quiet()
        return
    from pipelines.commands.progress_bars import Bars

    with Bars() as bars:
        yield bars
