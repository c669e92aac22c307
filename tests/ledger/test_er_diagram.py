"""`docs/er.svg` shows every relation, and can be read."""

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from tests.ledger.worlds import LEDGER, MODELS
from transforms.catalog.er_diagram import er_diagram
from transforms.catalog.er_layout import CHARACTER, LINE
from transforms.given import relations

SVG = "{http://www.w3.org/2000/svg}"
Frame = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    return ET.fromstring(er_diagram(MODELS))  # noqa: S314 -- our own text


def test_every_relation_has_a_line_that_names_it(picture: ET.Element) -> None:
    titles = [title.text for title in picture.findall(f"{SVG}path/{SVG}title")]

    assert sorted(filter(None, titles)) == sorted(
        f"{one.from_table}.{one.from_column} → {one.to_table}.{one.to_column}" for one in relations(MODELS)
    )


def test_every_table_stands_there_with_its_key_in_bold(picture: ET.Element) -> None:
    tables = [text.text for text in picture.findall(f"{SVG}text[@class='name']")]
    keys = [text.text for text in picture.findall(f"{SVG}text[@class='key']")]

    assert sorted(map(str, tables)) == sorted(LEDGER)
    assert sorted(map(str, keys)) == sorted(column for model in MODELS if model.layer == "ledger" for column in model.grain)


def test_no_two_texts_overlap_and_none_leaves_the_picture(picture: ET.Element) -> None:
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    frames = [(str(text.text), _frame_of(text)) for text in picture.iter(f"{SVG}text")]

    assert [text for text, (left, top, right, bottom) in frames if left < 0 or top < 0 or right > width or bottom > height] == []
    assert [(one, other) for (one, a), (other, b) in combinations(frames, 2) if _meet(a, b)] == []


def test_no_line_crosses_a_box(picture: ET.Element) -> None:
    boxes = [_frame_of_box(box) for box in picture.findall(f"{SVG}rect[@class='box']")]
    lines = [line for path in picture.iter(f"{SVG}path") if "line" in path.attrib["class"] for line in _lines(path.attrib["d"])]

    assert len(lines) > len(relations(MODELS))
    assert [(line, box) for line in lines for box in boxes if _meet(line, box)] == []


def _frame_of(text: ET.Element) -> Frame:
    left, base = float(text.attrib["x"]), float(text.attrib["y"])
    return left, base - LINE * 0.6, left + CHARACTER * len(str(text.text)), base + LINE * 0.2


def _frame_of_box(box: ET.Element) -> Frame:
    left, top, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
    return left, top, left + width, top + height


def _lines(path: str) -> Iterator[Frame]:
    """The straight lines of a path of M, H and V."""
    x = y = 0.0
    for command, numbers in re.findall(r"([MHV])([\d. ]+)", path):
        values = [float(number) for number in numbers.split()]
        ends = {"M": (values[0], values[-1]), "H": (values[0], y), "V": (x, values[0])}[command]
        if command != "M":
            yield min(x, ends[0]), min(y, ends[1]), max(x, ends[0]), max(y, ends[1])
        x, y = ends


def _meet(one: Frame, other: Frame) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
