"""Declares commands, and the options that several commands share."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.commands.option_types import count

SOURCES = ("kontomatik", "kontist")  # as `store.banks` has them, whose import would make each --help wait
Actions = Any
"""A group of commands: what `ArgumentParser.add_subparsers` returns."""


class Commands:
    """Adds commands to a group. Every command takes `--data-dir`."""

    def __init__(self, actions: Actions, parents: list[argparse.ArgumentParser]) -> None:
        self._actions = actions
        self._parents = parents

    def add(self, name: str, does: str, about: str) -> argparse.ArgumentParser:
        """Adds a command. `does` is the dotted name of its function, below `pipelines`."""
        added: argparse.ArgumentParser = self._actions.add_parser(name, help=about, description=about, parents=self._parents)
        added.set_defaults(command=_lazily(does), json=False)
        return added

    def below(self, command: argparse.ArgumentParser, metavar: str = "ACTION") -> "Commands":
        """Returns the group of a command's own actions."""
        return Commands(command.add_subparsers(metavar=metavar), self._parents)


def options_anywhere() -> argparse.ArgumentParser:
    """Returns the parent of every parser: the options that stand anywhere."""
    anywhere = argparse.ArgumentParser(add_help=False)
    anywhere.add_argument(
        "--data-dir",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="where data is kept (default: `pipelines.data_dir` of the settings, else `data`; the sandbox's: data/sandbox)",
    )
    amount = anywhere.add_mutually_exclusive_group()
    amount.add_argument(
        *("-q", "--quiet"),
        action="store_true",
        default=argparse.SUPPRESS,
        help="no progress; commands that change data print only what somebody has to look at",
    )
    amount.add_argument(
        *("-v", "--verbose"),
        action="store_true",
        default=argparse.SUPPRESS,
        help="each step with its time on standard error; of a fault in this program, where it happened",
    )
    return anywhere


def sources_option(command: argparse.ArgumentParser) -> None:
    """Adds `--source`."""
    command.add_argument("--source", action="append", choices=SOURCES, default=[], help="only this bank")


def wait_option(command: argparse.ArgumentParser) -> None:
    """Adds `--wait`, for commands that change the data directory."""
    command.add_argument(
        "--wait", type=count, default=0, metavar="SECONDS", help="how long to wait for a run that is at work (default 0)"
    )


def start_new_option(command: argparse.ArgumentParser) -> None:
    """Adds `--start-new`."""
    command.add_argument(
        "--start-new",
        action="store_true",
        default=False,
        help="make a missing raw history, vault or ledger anew; keep those that are there, even if they belong elsewhere",
    )


def json_option(command: argparse._ActionsContainer) -> None:
    """Adds `--json`."""
    command.add_argument("--json", action="store_true", default=False, help="one JSON object on standard output")


def _lazily(dotted: str) -> Callable[[argparse.Namespace], int]:
    """Returns a command's function, which is imported when it is called."""

    def call(options: argparse.Namespace) -> int:
        module, _, name = dotted.rpartition(".")
        status: int = getattr(import_module(f"pipelines.{module}"), name)(options)
        return status

    return call
