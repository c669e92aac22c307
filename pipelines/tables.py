"""Tables for people: as wide as the terminal lets them be, and no amount, currency or account is ever cut."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

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
    """A table where it fits. Else without the columns that say nothing in any row; else a line a row, which the terminal folds.

    Cells are taken as they are: what a bank sends is no markup. `marked` rows are yellow.
    """
    kept = list(range(len(headings)))
    if not _fits(console, headings, rows, kept):
        kept = [at for at in kept if at < 2 or any(row[at] not in NOTHING for row in rows)]
    if not _fits(console, headings, rows, kept):
        console.print(Text(title, "italic"), soft_wrap=True)
        for number, row in enumerate(rows):
            told = [f"{headings[at]} {row[at]}" for at in kept[2:] if row[at] not in NOTHING]
            style = "yellow" if number in marked else ""
            console.print(Text(f"{row[0]} {row[1]}: {', '.join(told)}", style), soft_wrap=True)
        return
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for at in kept:
        table.add_column(headings[at], justify="right" if headings[at] in NUMERIC else "left", no_wrap=True)
    for number, row in enumerate(rows):
        table.add_row(*(Text(row[at]) for at in kept), style="yellow" if number in marked else None)
    console.print(table)


def _fits(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> bool:
    widths = [max(cell_len(text) for text in (headings[at], *(row[at] for row in rows))) for at in kept]
    return sum(widths) + 3 * len(widths) + 1 <= console.width
