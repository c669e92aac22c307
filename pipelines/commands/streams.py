"""Standard output and error, which may be full, closed, or of an encoding that lacks our signs: never a traceback."""

import codecs
import io
import json
import os
import sys
from contextlib import suppress
from typing import Any

from pipelines.errors import FAILED

CLOSED_PIPE = 141
"""What a shell calls a program that wrote to a pipe which nobody reads any more (128 + SIGPIPE)."""
PLAIN = {"…": "...", "–": "-", "—": "-", "·": ".", "×": "x", "✓": "+", "€": "EUR", "→": "->"}
"""Our signs, for a terminal that has none of them."""


class OutputLost(Exception):
    """Standard output does not take what is written to it. No `OSError`: libraries have ideas of their own about those."""

    def __init__(self, error: OSError) -> None:
        self.is_closed_pipe = isinstance(error, BrokenPipeError)
        self.reason = os.strerror(error.errno or 0)
        super().__init__(self.reason)


class _Heard(io.FileIO):
    """Standard output: says so when it is lost."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error) from None


class _Unheard(io.FileIO):
    """Standard error: what cannot be printed there cannot be printed at all."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


class Streams:
    """The standard streams of this process."""

    def __init__(self) -> None:
        self._exact = False
        codecs.register_error("kontoledger", self._shown)

    def prepare(self) -> None:
        """Replaces the streams by streams that fail as they should. Streams that a test has put there stay."""
        for number in range(3):
            try:
                os.fstat(number)
            except OSError:  # closed: a database that is opened next would get its number, and our text
                os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
        if sys.stdin is None:
            sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
        if sys.stdout is sys.__stdout__:
            sys.stdout = self._stream(_Heard(1, "w", closefd=False), sys.stdout)
        if sys.stderr is sys.__stderr__:
            sys.stderr = self._stream(_Unheard(2, "w", closefd=False), sys.stderr, line_buffering=True)

    def expect_json(self) -> None:
        """Makes signs that the encoding lacks be written as JSON's escapes, not as similar signs, from here on."""
        self._exact = True

    def ended(self, status: int) -> int:
        """Returns the status to exit with, once everything is written.

        Output that is lost makes a good one bad, never a bad one good.
        """
        try:
            sys.stdout.flush()
        except OutputLost as lost:
            status = status or self.lost(lost)
        with suppress(OSError):
            sys.stderr.flush()
        return status

    @staticmethod
    def lost(lost: OutputLost) -> int:
        """Returns the status of a command whose output is lost.

        A reader that has gone, like `head`, wants to hear nothing of it.
        """
        if lost.is_closed_pipe:
            return CLOSED_PIPE
        sentence = f"The output could not be written ({lost.reason}). What the command did before stands; give it another place."
        sys.stderr.write(f"{sentence}\n")
        return FAILED

    @staticmethod
    def _stream(raw: io.FileIO, like: Any, *, line_buffering: bool = False) -> io.TextIOWrapper:
        encoding = getattr(like, "encoding", None) or "utf-8"
        at_once = line_buffering or getattr(like, "line_buffering", False) or getattr(like, "write_through", False)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="kontoledger", line_buffering=at_once)

    def _shown(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        signs = error.object[error.start : error.end]
        plain = json.dumps(signs)[1:-1] if self._exact else "".join(PLAIN.get(sign, "?") for sign in signs)
        return plain, error.end
