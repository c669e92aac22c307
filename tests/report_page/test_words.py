"""Marks on letters: a few are spelling, many are drawn over other rows."""

import pytest

from pipelines.report_page import wording


@pytest.mark.parametrize("text", ["Việt Nam", "Vie\u0323\u0302t", "שָׁלוֹם", "ก็น้ำ", "हिन्दी", "ï" * 200])
def test_letters_keep_the_marks_of_their_language(text: str) -> None:
    assert wording.text(text) == text


def test_of_many_marks_on_a_letter_a_few_stay() -> None:
    tower = "\u0301\u0489"

    assert wording.text(f"Z{tower * 40}x, A{tower * 5000}") == f"Z{tower * 2}…x, A{tower * 2}…"
