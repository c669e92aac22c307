"""Text for SWIFT messages: character set `x`, and pieces of limited length that a reader can join again."""

import re
from collections.abc import Iterator

from text_unidecode import unidecode

from pipelines.text.sinks import line

_GERMAN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "€": "EUR", "£": "GBP", "–": "-", "—": "-"}
)
_NEAREST = str.maketrans(
    {
        "&": "+",
        "@": "(at)",
        "_": "-",
        "=": "-",
        ";": ",",
        "!": ".",
        "\\": "/",
        "|": "/",
        **dict.fromkeys('"`´', "'"),
        **dict.fromkeys("[{<", "("),
        **dict.fromkeys("]}>", ")"),
        "?": ".",
    }
)
"""Signs that the character set lacks, and `?`, which begins a subfield of field 86."""
_OUTSIDE = re.compile(r"[^A-Za-z0-9/:().,'+ -]")
_NOT_FIRST = " :-"
"""Signs that no further line of a field begins with: `:` and `-` begin another field and the end of the message."""


def swift(text: str) -> str:
    """Returns text in character set `x`: umlauts as two letters, other scripts in Latin, other signs as the nearest or `.`."""
    latin = unidecode(line(text).translate(_GERMAN)).replace("[?]", ".").translate(_NEAREST)  # its word for an unknown sign
    return " ".join(_OUTSIDE.sub(".", latin).split())


def pieces(text: str, width: int) -> Iterator[str]:
    """Yields text in pieces of at most `width` characters. None begins or ends with a blank, which readers would lose."""
    while len(text) > width:
        places = range(width, width // 2, -1)
        place = next((one for one in places if text[one - 1] != " " and text[one] not in _NOT_FIRST), width)
        yield text[:place]
        text = text[place:]
    if text:
        yield text
