"""Parses command lines, and helps with what it does not understand: the nearest word, and the usage of the very command."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pipelines.text.utf8 import is_utf8

_MOST = 3
"""Words that are named where several are near."""


class CommandParser(argparse.ArgumentParser):
    """Refuses what it does not know with the usage of the innermost command, and with the word that was probably meant.

    A value is never repeated: somebody may have typed a token.
    """

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses arguments. The innermost parser meets what is unknown first, so the usage is that of the command."""
        found, unknown = super().parse_known_args(args, namespace)
        if not all(map(is_utf8, sys.argv[1:] if args is None else args)):
            self.error("an argument is not UTF-8 text")
        if unknown:
            self._refuse(unknown)
        return found, unknown

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        options = [one.partition("=")[0] for one in unknown if one.startswith("-") and one != "-"]
        if not options:
            self.error("there is an argument too many" if len(unknown) == 1 else f"there are {len(unknown)} arguments too many")
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        self.error(f"unknown option {options[0]}{_meant(options[0], known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Checks a choice (argparse calls this, in every version of Python so far)."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(one) for one in action.choices]
        near = _meant(str(value), choices)
        kind = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
        raise argparse.ArgumentError(action, f"unknown {kind}{near or ' (choose from ' + ', '.join(choices) + ')'}")


def _meant(word: str, known: Iterable[str]) -> str:
    """Returns the question for the words that are near this one; nothing where none is."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), list(known), n=_MOST, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
