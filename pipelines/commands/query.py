"""Runs `query`: one statement, or a prompt that takes one after the other."""

import argparse
import sys
from itertools import islice
from typing import TYPE_CHECKING

from pipelines.commands.terminal import console, data_of, print_csv, print_json, say
from pipelines.errors import GOOD, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.questions.query import Answer
    from pipelines.settings import Settings

AT_FIRST = 100
"""Rows that a terminal shows of an answer."""


def query(options: argparse.Namespace) -> int:
    """Runs `query`: the statement of the command line or of standard input; at a terminal without one, the prompt."""
    settings = data_of(options)
    if options.sql is None and sys.stdin.isatty():
        from pipelines.commands.prompt import take_statements

        take_statements(settings, lambda text: show_answer(options, settings, text))
    else:
        show_answer(options, settings, _read_all() if options.sql is None else options.sql)
    return GOOD


def show_answer(options: argparse.Namespace, settings: "Settings", text: str) -> None:
    """Prints the answer to one statement, from the ledger as it is published now. Raises `Failure`."""
    from pipelines.questions import query as asking

    statement = asking.statement(text)
    with asking.readable_ledger(settings) as connection:
        if options.csv:
            found = asking.spreadsheet_answer(connection, statement)
            shown = (
                [None if one is None else asking.text_value(one) for one in row] for row in _limited(found, options.limit)[0]
            )
            print_csv([found.names])
            print_csv(shown)
            return
        found = asking.answer(connection, statement)
        if options.json:
            rows, more = _limited(found, options.limit)
            names = asking.unlike(found.names)
            listed = [dict(zip(names, map(asking.json_value, row), strict=True)) for row in rows]
            columns = [{"name": name, "type": kind} for name, kind in zip(names, found.types, strict=True)]
            print_json({"columns": columns, "rows": listed, "more": next(more, None) is not None})
            return
        _show_table(options, found)


def _read_all() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise WrongUsage("The statement is not UTF-8 text", "Write its file in UTF-8") from None


def _show_table(options: argparse.Namespace, found: "Answer") -> None:
    from pipelines.questions.query import text_value
    from pipelines.text import tables

    output = console()
    limit = AT_FIRST if options.limit is None and output.is_terminal else options.limit
    rows, more = _limited(found, limit)
    shown = [[text_value(one) for one in row] for row in rows]
    tables.show_answer(output, found.names, shown, right=found.numeric)
    if next(more, None) is not None:
        say(f"These are the first {len(shown)} rows. --limit N shows more, --csv or --json all.", error=True)


def _limited(found: "Answer", limit: int | None) -> "tuple[Iterator[tuple[object, ...]], Iterator[tuple[object, ...]]]":
    """Returns the rows to show, and what comes after them: read these first."""
    return (islice(found.rows, min(limit, sys.maxsize)) if limit else found.rows), found.rows
