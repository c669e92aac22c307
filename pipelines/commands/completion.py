"""Runs `completion`: prints what makes a shell complete commands and options."""

import argparse
import shlex
import sys

from pipelines.commands.terminal import say_all
from pipelines.errors import GOOD

NAME = "kontoledger"
"""The function that people call: a shell completes by the first word, which is python's in `python -m pipelines`."""


def completion(options: argparse.Namespace) -> int:
    """Runs `completion`."""
    import shtab

    from pipelines.commands.cli import parser

    described = parser()
    described.prog = NAME
    say_all(f"{_function(options.shell)}\n{shtab.complete(described, shell=options.shell)}")
    return GOOD


def _function(shell: str) -> str:
    python = shlex.quote(sys.executable)
    if shell == "fish":
        return f"function {NAME}; {python} -m pipelines $argv; end"
    return f'{NAME}() {{ {python} -m pipelines "$@"; }}'
