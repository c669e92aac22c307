"""`docs/er.svg`: the public tables with their keys, and which column refers to which table.

Every line has a title (`from.column → to.column`), which a browser shows under the pointer.
"""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from transforms.catalog.er_layout import CHARACTER, HEADER, MARGIN, Box, Layout, Row, layout
from transforms.given import Relation, relations
from transforms.models import Model

_COLOURS = (
    ("#0b62c4", "#6cb2ff"),
    ("#8a4b00", "#e8a85c"),
    ("#a3195b", "#ff86b8"),
    ("#4d6b00", "#b4d455"),
    ("#6a35c2", "#bf9bff"),
    ("#006d77", "#54cfd8"),
    ("#b3261e", "#ff8f85"),
    ("#00703c", "#5fd897"),
    ("#5c5c00", "#d6d25a"),
)
"""Of each table that is referred to: on a light and on a dark ground. Each reaches a contrast of 4.5 there."""
_STYLE = """
svg { background: #ffffff; }
.ground { fill: #ffffff; }
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; }
.name, .key { font-weight: 700; }
.box { fill: #f6f8fa; stroke: #8c959f; }
.rule { stroke: #8c959f; }
.line { fill: none; stroke-width: 1.3; }
.assumed { stroke-dasharray: 4 2.5; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  .ground { fill: #0d1117; }
  text { fill: #e6edf3; }
  .box { fill: #161b22; stroke: #6e7681; }
  .rule { stroke: #6e7681; }
"""
_LEGEND = (
    "Bold columns identify a row. → names the table that a column refers to. A solid line is checked at every build;"
    " a dashed one holds by construction."
)


def er_diagram(models: Iterable[Model]) -> str:
    """Returns the picture of the public tables among these models, as SVG for light and dark grounds."""
    shown = sorted((model for model in models if model.layer == "ledger"), key=lambda model: model.name)
    found = relations(shown)
    placed = layout(shown, found)
    targets = sorted({one.to_table for one in found})
    size = {"width": _number(placed.width), "height": _number(placed.height)}
    svg = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {size['width']} {size['height']}", "role": "img", **size},
    )
    ET.SubElement(svg, "title").text = f"{len(shown)} tables of the ledger and {len(found)} relations between them"
    ET.SubElement(svg, "style").text = _style(targets)
    ET.SubElement(svg, "rect", {"class": "ground", **size})
    _text(svg, MARGIN, MARGIN + 12, _LEGEND)
    boxes = {box.table: box for box in placed.boxes}
    for table in targets:
        _draw_lane(svg, table, placed, boxes, [one for one in found if one.to_table == table])
    for box in placed.boxes:
        _draw_box(svg, box)
        for row in box.rows:
            if row.relation is not None:
                _draw_reference(svg, row.relation, placed.lanes[row.relation.to_table, placed.gap(box)], box, row)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _style(targets: Sequence[str]) -> str:
    """Returns the style sheet with a colour for each table that is referred to."""
    colours = [(name, *_COLOURS[place % len(_COLOURS)]) for place, name in enumerate(targets)]
    rule = ".to-{0} {{ stroke: {1}; }} .dot-{0} {{ fill: {1}; }}"
    light = "\n".join(rule.format(name, colour) for name, colour, _ in colours)
    dark = "\n".join("  " + rule.format(name, colour) for name, _, colour in colours)
    return f"\n{light}{_STYLE}{dark}\n}}\n"


def _draw_lane(svg: ET.Element, table: str, placed: Layout, boxes: dict[str, Box], found: Sequence[Relation]) -> None:
    """Draws the lanes of a table in every gap, the one above the boxes that joins them, and the arrows at its keys."""
    target = boxes[table]
    keys = [target.key(column) for column in sorted({one.to_column for one in found})]
    ends: dict[int, list[float]] = {0: [*keys]}
    for one in found:
        box = boxes[one.from_table]
        ends.setdefault(placed.gap(box), []).extend(box.middle(row) for row in box.rows if row.relation == one)
    home = _number(placed.lanes[table, 0])
    top = placed.heights.get(table)
    path = f"M{home} {_number(min(ends[0]) if top is None else top)}V{_number(max(ends[0]))}"
    if top is not None:
        for gap in sorted(ends.keys() - {0}):
            path += f"M{home} {_number(top)}H{_number(placed.lanes[table, gap])}V{_number(max(ends[gap]))}"
    ET.SubElement(svg, "path", {"class": f"line to-{table}", "d": path})
    for y in keys:
        edge = _number(target.side)
        ET.SubElement(svg, "path", {"class": f"line to-{table}", "d": f"M{home} {_number(y)}H{edge}"})
        ET.SubElement(svg, "path", {"class": f"dot-{table}", "d": f"M{edge} {_number(y)}l8 -4v8z"})


def _draw_reference(svg: ET.Element, relation: Relation, lane: float, box: Box, row: Row) -> None:
    """Draws the line from a row to the lane of the table that it refers to."""
    y = _number(box.middle(row))
    kind = "line" if relation.checked == "every build" else "line assumed"
    line = ET.SubElement(
        svg, "path", {"class": f"{kind} to-{relation.to_table}", "d": f"M{_number(box.side)} {y}H{_number(lane)}"}
    )
    ET.SubElement(line, "title").text = f"{relation.from_table}.{relation.from_column} → {relation.to_table}.{relation.to_column}"
    ET.SubElement(svg, "circle", {"class": f"dot-{relation.to_table}", "cx": _number(lane), "cy": y, "r": "2.6"})


def _draw_box(svg: ET.Element, box: Box) -> None:
    size = {"x": _number(box.x), "y": _number(box.y), "width": _number(box.width), "height": _number(box.height), "rx": "4"}
    ET.SubElement(svg, "rect", {"class": "box", **size})
    below = _number(box.y + HEADER)
    ET.SubElement(svg, "path", {"class": "rule", "d": f"M{_number(box.x)} {below}H{_number(box.x + box.width)}"})
    _text(svg, box.x + 9, box.y + 15, box.table, "name")
    for row in box.rows:
        y = box.middle(row) + 4
        _text(svg, box.x + 9, y, row.column, "key" if row.is_key else "")
        if row.reference:
            _text(svg, box.x + box.width - 9 - len(row.reference) * CHARACTER, y, row.reference)


def _text(svg: ET.Element, x: float, y: float, text: str, kind: str = "") -> None:
    attributes = {"x": _number(x), "y": _number(y), **({"class": kind} if kind else {})}
    ET.SubElement(svg, "text", attributes).text = text


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
