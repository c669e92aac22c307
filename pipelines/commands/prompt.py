"""The prompt of `query`: lines until a semicolon are a statement. It remembers them in the data directory, for the arrow keys."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipelines.commands.terminal import say
from pipelines.errors import Failure
from pipelines.store.private import HISTORY, closed_to_others

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.settings import Settings

FIRST, FURTHER = "ledger> ", "   ...> "
REMEMBERED = 500
"""Lines that the history keeps."""
GREETING = 'A statement ends with ";". `show tables;` lists the tables, `describe transactions;` columns; Ctrl-D ends.'
ENDS = frozenset({"exit", "quit", "\\q"})


def take_statements(settings: "Settings", answer: Callable[[str], None]) -> None:
    """Answers each statement that is typed, until Ctrl-D. Ctrl-C interrupts a query, or drops what is typed so far."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    say(GREETING)
    try:
        with _line_editing(settings.data_dir / HISTORY):
            _go_on(answer)
    finally:
        signal.signal(signal.SIGINT, before)


def _go_on(answer: Callable[[str], None]) -> None:
    typed: list[str] = []
    while True:
        try:
            typed.append(input(FURTHER if typed else FIRST))
            whole = "\n".join(typed).strip()
            if whole.rstrip("; ").lower() in ENDS:
                return
            if whole.endswith(";") or not whole:
                typed = []
                if whole.strip("; "):
                    answer(whole)
        except EOFError:
            say("")
            return
        except Failure as failure:
            say(failure, error=True)
        except KeyboardInterrupt:
            typed = []
            say("")


@contextmanager
def _line_editing(history: "Path") -> Iterator[None]:
    """Gives `input` arrow keys and a history, where Python has readline. The file is the owner's alone: it may hold names."""
    try:
        import readline
    except ImportError:
        yield
        return
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(REMEMBERED)
    try:
        yield
    finally:
        with suppress(OSError), closed_to_others():
            readline.write_history_file(history)
            history.chmod(0o600)
