"""Gives all commands their settings and their output, for people and for machines."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.errors import CHECKS_FAILED
from pipelines.text import sinks

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.settings import Settings


def settings_of(options: argparse.Namespace) -> "Settings":
    """Returns the settings for this command."""
    from pipelines.settings import load_settings

    return load_settings(data_dir=getattr(options, "data_dir", None))


def data_of(options: argparse.Namespace) -> "Settings":
    """Returns the settings for a command that needs a data directory. Raises `WrongUsage` where there is no data directory.

    A vault in a database of its own needs none.
    """
    from pipelines.errors import WrongUsage
    from pipelines.store.lock import refuse_closed, refuse_odd_path

    settings = settings_of(options)
    refuse_odd_path(settings.data_dir)
    refuse_closed(settings.data_dir)
    if not settings.data_dir.is_dir() and settings.vault_url is None:
        raise WrongUsage(
            f"There is no data directory {settings.data_dir}",
            "Make it with `python -m pipelines run`, or name another with --data-dir or PIPELINES__DATA_DIR",
        )
    return settings


def say(*sentences: object, error: bool = False, end: str = "\n") -> None:
    """Prints each sentence as a line of its own, on standard output or on standard error. The only way that text takes there."""
    print("\n".join(map(sinks.line, sentences)), end=end, file=sys.stderr if error else sys.stdout, flush=True)


def tell(options: argparse.Namespace, *sentences: object) -> None:
    """Prints what a command has done, unless `--quiet` asks it not to."""
    if sentences and not getattr(options, "quiet", False):
        say(*sentences)


def say_all(text: str, end: str = "\n") -> None:
    """Prints text of ours with several lines, at once. Values of a bank in it are lines already."""
    print(sinks.lines(text), end=end, flush=True)


def print_json(content: Any) -> None:
    """Prints the one JSON object of a command on standard output."""
    print(sinks.json_text(content))


def print_csv(rows: Iterable[Sequence[str | None]]) -> None:
    """Prints rows as CSV (RFC 4180), exactly; on a terminal each value is one line that steers nothing."""
    import csv

    steers = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([one if one is None or not steers else sinks.line(one) for one in row] for row in rows)


def print_as_json(text: str) -> None:
    """Prints JSON text."""
    print(sinks.json_shown(text.rstrip("\n")))


def console() -> "Console":
    """Returns a console for tables. Without a terminal, or with NO_COLOR, it shows no colour."""
    from rich.console import Console

    return Console(highlight=False)


def print_error(options: argparse.Namespace, sentence: str, status: int) -> None:
    """Prints why a command ends badly: a sentence on standard error, and with `--json` an object on standard output."""
    say(sentence, error=True)
    if getattr(options, "json", False):
        kind = "checks_failed" if status == CHECKS_FAILED else "failed"
        print_json({"status": kind, "error": sentence, "exit_status": status})
