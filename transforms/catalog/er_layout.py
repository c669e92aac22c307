"""Where the boxes and lines of the entity-relation picture stand, in pixels.

The tables that others refer to fill the first column of boxes; the others follow in columns of about the same height. Each table
that is referred to has a lane of its own in every gap between two columns, and one above all boxes that joins them. So no line
crosses a box, and no search for a good layout is needed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transforms.given import Relation
from transforms.models import Model

CHARACTER = 7.3
"""Width of a character of the widest usual monospaced font at 12 pixels."""
LINE = 19
HEADER = 22
COLUMNS = 3
"""Columns of boxes beside the first one."""
MARGIN = 16
TITLE = 34
"""Height of the line above the picture that says what it shows."""
_LANE = 8
_PADDING = 9
_FOOT = 4
_BETWEEN_BOXES = 2 * LINE - HEADER - _FOOT
"""All rows stand on one grid; those of the first column are half a line lower, so lines from both sides of a gap never meet."""
_BETWEEN_WORDS = 3


@dataclass(frozen=True)
class Row:
    """One column of a table: part of its key, or a reference to another table, or both."""

    column: str
    is_key: bool
    relation: Relation | None

    @property
    def reference(self) -> str:
        """Returns the text that names the table that the column refers to, empty where it refers to none."""
        return f"→ {self.relation.to_table}" if self.relation else ""


@dataclass(frozen=True)
class Box:
    """One table, with its place. Lines meet it at `side`: the right edge in the first column of boxes, else the left one."""

    table: str
    rows: Sequence[Row]
    x: float
    y: float
    width: float
    side: float

    @property
    def height(self) -> float:
        """Returns the height of the box."""
        return _height(self.rows)

    def middle(self, row: Row) -> float:
        """Returns the vertical middle of a row."""
        return self.y + HEADER + LINE * self.rows.index(row) + LINE / 2

    def key(self, column: str) -> float:
        """Returns the vertical middle of the row of a key's column."""
        return next(self.middle(row) for row in self.rows if row.column == column)


@dataclass(frozen=True)
class Layout:
    """The whole picture."""

    boxes: Sequence[Box]
    lanes: Mapping[tuple[str, int], float]
    """By table that is referred to and gap (0 is right of the first column of boxes): where its lane stands."""
    heights: Mapping[str, float]
    """By table that is referred to from beyond gap 0: where its lane above the boxes stands."""
    width: float
    height: float

    def gap(self, box: Box) -> int:
        """Returns the number of the gap that the lines of a box run in."""
        lefts = sorted({other.x for other in self.boxes})
        return max(0, lefts.index(box.x) - 1)


def layout(models: Iterable[Model], relations: Sequence[Relation]) -> Layout:
    """Returns the places of all tables of these models and of the lines between them."""
    rows = {model.name: _rows(model, relations) for model in models}
    targets = sorted({one.to_table for one in relations})
    columns = [targets, *_columns({name: own for name, own in rows.items() if name not in targets})]
    later = [_referred_to(relations, names) for names in columns[2:]]
    beyond = sorted(set().union(*later))
    # a table that only later columns refer to has its first lane beside itself, too
    used = [sorted({*_referred_to(relations, columns[0] + columns[1]), *beyond}), *later]
    heights = {name: MARGIN + TITLE + _LANE * place for place, name in enumerate(beyond)}
    boxes: list[Box] = []
    lanes: dict[tuple[str, int], float] = {}
    left = float(MARGIN)
    for number, names in enumerate(columns):
        top = MARGIN + TITLE + _LANE * len(beyond) + _BETWEEN_BOXES + (0 if number else LINE / 2)
        width = max(_width(name, rows[name]) for name in names)
        boxes += _stack({name: rows[name] for name in names}, left, top, width, left if number else left + width)
        left += width
        if number < len(used):
            lanes |= {(name, number): left + _LANE * (place + 2) for place, name in enumerate(reversed(used[number]))}
            left += _LANE * (len(used[number]) + 3)
    return Layout(boxes, lanes, heights, left + MARGIN, max(box.y + box.height for box in boxes) + MARGIN)


def _stack(tables: Mapping[str, Sequence[Row]], left: float, top: float, width: float, side: float) -> Iterator[Box]:
    for name, rows in tables.items():
        yield Box(name, rows, left, top, width, side)
        top += _height(rows) + _BETWEEN_BOXES


def _referred_to(relations: Iterable[Relation], names: Sequence[str]) -> list[str]:
    return sorted({one.to_table for one in relations if one.from_table in names})


def _rows(model: Model, relations: Iterable[Relation]) -> list[Row]:
    own = [one for one in relations if one.from_table == model.name]
    keys = [Row(name, True, next((one for one in own if one.from_column == name), None)) for name in model.grain]
    shown = {id(row.relation) for row in keys}
    return keys + [Row(one.from_column, False, one) for one in own if id(one) not in shown]


def _columns(rows: dict[str, list[Row]]) -> list[list[str]]:
    """Fills the columns one after the other, each up to its share of the whole height."""
    share = sum(_height(own) + _BETWEEN_BOXES for own in rows.values()) / COLUMNS
    columns: list[list[str]] = [[] for _ in range(COLUMNS)]
    above = 0.0
    for name, own in rows.items():
        height = _height(own) + _BETWEEN_BOXES
        columns[min(int((above + height / 2) / share), COLUMNS - 1)].append(name)
        above += height
    return columns


def _height(rows: Sequence[Row]) -> float:
    return HEADER + LINE * len(rows) + _FOOT


def _width(table: str, rows: Iterable[Row]) -> float:
    texts = [table, *(row.column + " " * _BETWEEN_WORDS + row.reference for row in rows)]
    return max(map(len, texts)) * CHARACTER + 2 * _PADDING
