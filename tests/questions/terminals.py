"""A terminal for a command: what is typed reaches it as from a keyboard, Ctrl-C as a signal."""

import fcntl
import os
import pty
import select
import termios
from pathlib import Path

from tests.patience import patient
from tests.support import begun


class Terminal:
    """A command at a terminal of its own, and what it shows there."""

    def __init__(self, folder: Path, *arguments: str, columns: int = 120) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, columns))
        self._command = begun(
            folder, {"TERM": "xterm"}, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, inside=take_terminal
        )
        os.close(theirs)
        self._shown = ""

    def type(self, text: str) -> None:
        """Types keys."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Returns what it shows before this text, which comes next."""
        while text not in self._shown:
            assert select.select([self._ours], [], [], patient(20))[0], self._shown
            self._shown += os.read(self._ours, 4096).decode()
        before, _, self._shown = self._shown.partition(text)
        return before

    def close(self) -> int:
        """Waits for the end of the command; returns its status."""
        status = self._command.wait(patient(20))
        os.close(self._ours)
        return status


def take_terminal() -> None:
    """Makes standard input the terminal of this process: its Ctrl-C is a signal here."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
