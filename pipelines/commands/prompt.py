"""The prompt of `query`: lines until a semicolon are a statement. It remembers them in the data directory, for the arrow keys."""

import signal
import sys
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
HELP = frozenset({"help", "?", "tables"})


def take_statements(settings: "Settings", answer: Callable[[str], None]) -> None:
    """Answers each statement that is typed, until Ctrl-D. Ctrl-C interrupts a query, or drops what is typed so far."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    _remark(GREETING)
    try:
        with _line_editing(settings.data_dir / HISTORY):
            _go_on(answer)
    finally:
        signal.signal(signal.SIGINT, before)


def _go_on(answer: Callable[[str], None]) -> None:
    from pipelines.questions.query import is_ended, one_by_one

    typed: list[str] = []
    while True:
        try:
            typed.append(_line(FURTHER if typed else FIRST))
            whole = "\n".join(typed).strip()
            word = whole.rstrip("; ").lower()
            if word in ENDS or typed[-1].strip().lower() in ENDS:
                return
            if not word or word in HELP or word.startswith((".", "\\")):  # `.tables`, `\d`: other programs' commands
                typed = []
                if word:
                    _remark(GREETING)
            elif is_ended(whole):
                typed = []
                for statement in one_by_one(whole):
                    answer(statement)
        except EOFError:
            _remark("")
            return
        except Failure as failure:
            say(failure, error=True)
        except UnicodeDecodeError:
            typed = []
            say("This line is not UTF-8 text. Set the terminal to UTF-8.", error=True)
        except KeyboardInterrupt:
            typed = []
            _remark("")


def _line(prompt: str) -> str:
    """Reads a line. `input` would write its prompt into the output, also where that is a file or a pipe."""
    if sys.stdout.isatty():
        return input(prompt)
    say(prompt, error=True, end="")
    return input("")


def _remark(sentence: str) -> None:
    """Prints a sentence for the person at the keyboard: not among the answers, where these go into a file or a pipe."""
    say(sentence, error=not sys.stdout.isatty())


@contextmanager
def _line_editing(history: "Path") -> Iterator[None]:
    """Gives `input` arrow keys and a history, where Python has readline. The file is the owner's alone: it may hold names."""
    try:
        import readline
    except ImportError:
        yield
        return
    with suppress(OSError):
        history.touch(0o600)  # so that it is noticed when an erasure removes it meanwhile: what is remembered may name its person
        readline.read_history_file(history)
    readline.set_history_length(REMEMBERED)
    try:
        yield
    finally:
        with suppress(OSError), closed_to_others():
            if history.exists():
                readline.write_history_file(history)
                history.chmod(0o600)
