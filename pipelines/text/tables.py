"""Tables and sentences for people: as wide as the terminal lets them be, and no amount, currency or account is ever cut.

What a bank sends is no markup, and no escape that steers the terminal.
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
NUMERIC = frozenset({"new", "changed", "removed", "balance", "days left", "imports left", "late", "under way", "rows", "amount"})
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

    `marked` rows are yellow.
    """
    rows = [[line(cell) for cell in row] for row in rows]
    kept = list(range(len(headings)))
    if not _fits(console, headings, rows, kept):
        kept = [at for at in kept if at < 2 or any(row[at] not in NOTHING for row in rows)]
    if not _fits(console, headings, rows, kept):
        say(console, title, "italic")
        for number, row in enumerate(rows):
            details = [f"{headings[at]} {row[at]}" for at in kept[2:] if row[at] not in NOTHING]
            style = "yellow" if number in marked else ""
            say(console, f"{row[0]} {row[1]}: {', '.join(details)}", style)
        return
    table = Table(title=Text(line(title)), title_justify="left", header_style="bold")
    for at in kept:
        table.add_column(headings[at], justify="right" if headings[at] in NUMERIC else "left", no_wrap=True)
    for number, row in enumerate(rows):
        table.add_row(*(Text(row[at]) for at in kept), style="yellow" if number in marked else None)
    console.print(table)


def say(console: "Console", sentence: str, style: str = "") -> None:
    """Prints a sentence on a line of its own, which the terminal folds. `rich` would read a string as markup."""
    console.print(Text(line(sentence), style), soft_wrap=True)


def _fits(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> bool:
    widths = [max(cell_len(text) for text in (headings[at], *(row[at] for row in rows))) for at in kept]
    return sum(widths) + 3 * len(widths) + 1 <= console.width
