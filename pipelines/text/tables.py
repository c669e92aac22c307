"""Tables and sentences for people: as wide as the terminal lets them be, and no amount, currency or account is ever cut.

What a bank sends is no markup, and no escape that steers the terminal. A pipe or a file gets plain columns: no lines, no colour.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from pipelines.text.sinks import line

if TYPE_CHECKING:
    from rich.console import Console

NOTHING = frozenset({"", "·", "–"})
"""Cells that say nothing."""
NUMERIC = frozenset(
    {
        "new",
        "changed",
        "removed",
        "balance",
        "days left",
        "imports left",
        "late",
        "under way",
        "rows",
        "amount",
        "money in",
        "money out",
    }
)
"""Columns of numbers, which stand right."""


def show(
    console: "Console",
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marked: Collection[int] = (),
) -> None:
    """Prints a table where it fits. Else it leaves out columns that are empty in every row, or prints a line a row.

    `marked` rows are yellow. What is no terminal gets the whole table, plain.
    """
    rows = [[line(cell) for cell in row] for row in rows]
    kept = list(range(len(headings)))
    if console.is_terminal and not _fits(console, headings, rows):
        kept = [at for at in kept if at < 2 or any(row[at] not in NOTHING for row in rows)]
    headings, rows = [headings[at] for at in kept], [[row[at] for at in kept] for row in rows]
    say(console, title, "italic")
    if not console.is_terminal or _fits(console, headings, rows):
        right = {at for at, heading in enumerate(headings) if heading in NUMERIC}
        _print(console, headings, rows, right=right, marked=marked)
        return
    for number, row in enumerate(rows):
        details = [f"{heading} {cell}" for heading, cell in zip(headings[2:], row[2:], strict=True) if cell not in NOTHING]
        say(console, f"{row[0]} {row[1]}: {', '.join(details)}", "yellow" if number in marked else "")


def show_answer(
    console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> None:
    """Prints the answer to a query: a table where it fits, else a line a value below a line for each row. Nothing is cut.

    Where it does not fit, columns without any value are named below, and left out. Columns at `right` stand right.
    """
    headings, rows = [line(one) for one in headings], [[line(cell) for cell in row] for row in rows]
    if console.is_terminal and not rows:
        say(console, "No rows.")
        return
    if not console.is_terminal or _fits(console, headings, rows):
        _print(console, headings, rows, right=right)
        return
    kept = [at for at in range(len(headings)) if any(row[at] for row in rows)] or list(range(len(headings)))
    empty = [heading for at, heading in enumerate(headings) if at not in kept]
    headings, rows = [headings[at] for at in kept], [[row[at] for at in kept] for row in rows]
    if _fits(console, headings, rows):
        _print(console, headings, rows, right={place for place, at in enumerate(kept) if at in right})
    else:
        _print_values(console, headings, rows)
    if empty:
        say(console, f"Without a value: {', '.join(empty)}")


def _print_values(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widest = max(map(cell_len, headings))
    for number, row in enumerate(rows, 1):
        say(console, f"row {number}", "bold")
        for heading, cell in zip(headings, row, strict=True):
            say(console, f"  {heading}{' ' * (widest - cell_len(heading))}  {cell}".rstrip())


def say(console: "Console", sentence: str, style: str = "") -> None:
    """Prints a sentence on a line of its own, which the terminal folds. `rich` would read a string as markup."""
    console.print(Text(line(sentence), style), soft_wrap=True)


def _print(
    console: "Console",
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    marked: Collection[int] = (),
) -> None:
    """Prints a table as wide as it is: with lines on a terminal, else plain columns with two blanks between them."""
    if not console.is_terminal:
        widths = _widths(headings, rows)
        for row in (headings, *rows):
            pads = [" " * (width - cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
            cells = [pad + cell if at in right else cell + pad for at, (pad, cell) in enumerate(zip(pads, row, strict=True))]
            say(console, "  ".join(cells).rstrip())
        return
    table = Table(header_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if at in right else "left", no_wrap=True)
    for number, row in enumerate(rows):
        table.add_row(*map(Text, row), style="yellow" if number in marked else None)
    console.print(table)


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]


def _fits(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    widths = _widths(headings, rows)
    return sum(widths) + 3 * len(widths) + 1 <= console.width
