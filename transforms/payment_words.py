"""The words of the seed `payment_kinds` as patterns: they find the few texts in which any of them can stand.

The models then look at these texts word by word. DuckDB compiles a pattern once if it is a constant, and for each row if it is a
value of a table: so the patterns are in a macro, made from the seed when the ledger is built.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

_ALONE = {"ł": "l", "ø": "o", "đ": "d"}
"""Letters that Unicode does not take apart. `helpers/plain_words.sql` reads them so, too."""
_PAIRS = {"ss": "ß", "ae": "æ", "oe": "œ"}
_NO_LETTER = r"[^0-9A-Za-z\x{c0}-\x{24f}]"
_MARKS = r"[\x{0300}-\x{036f}]"
"""Accents that stand alone, after their letter. A text with one is always looked at."""
_MOST_WORDS = 250
"""Words of one pattern. RE2 needs memory for each, and with more than about 500 it becomes a hundred times slower."""


def patterns(values: Iterable[str]) -> list[str]:
    """Returns patterns (RE2) of every text that may hold one of the values (words), with any case and accents."""
    words = sorted({max(parts, key=len) for value in values if (parts := plain(value).split())})
    return [_pattern(words[first : first + _MOST_WORDS]) for first in range(0, len(words), _MOST_WORDS)]


def plain(text: str) -> str:
    """Returns the words of a text in small letters without accents, one blank between two."""
    letters = "".join(_plain_letter(one) for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    for pair, sign in _PAIRS.items():
        letters = letters.replace(sign, pair)
    return " ".join("".join(one if one.isalnum() else " " for one in letters).split())


def _pattern(words: list[str]) -> str:
    return f"(?i)(?:^|{_NO_LETTER})(?:{'|'.join(map(_spelt, words))})(?:$|{_NO_LETTER})|{_MARKS}"


def _plain_letter(one: str) -> str:
    small = one.lower()
    return _ALONE.get(small, small)


def _spelt(word: str) -> str:
    """Returns a pattern of the word with whatever accents."""
    found, at = "", 0
    while at < len(word):
        pair = word[at : at + 2]
        if pair in _PAIRS:
            found += f"(?:{_any_of(pair[0])}{_any_of(pair[1])}|{_PAIRS[pair]})"
            at += 2
        else:
            found += _any_of(word[at])
            at += 1
    return found


def _any_of(letter: str) -> str:
    return f"[{letter}{_variants()[letter]}]" if letter in _variants() else letter


@cache
def _variants() -> dict[str, str]:
    """Returns for each letter its small forms with accents, of the languages that are written in Latin letters in Europe."""
    found: dict[str, str] = {}
    for point in range(0xC0, 0x180):
        one = chr(point)
        base = plain(one)
        if one.islower() and len(base) == 1 and base != one:
            found[base] = found.get(base, "") + one
    return found
