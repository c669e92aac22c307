"""What a number of things is called."""

from pipelines.text.numbers import counted


def test_one_thing_has_no_plural() -> None:
    assert [counted(number, "import") for number in (0, 1, 2, 1200)] == ["0 imports", "1 import", "2 imports", "1,200 imports"]
