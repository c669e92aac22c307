"""Recognises text that came as other bytes than UTF-8: Python puts a lone surrogate in the place of each byte."""


def is_utf8(text: str) -> bool:
    """Returns whether a text can be written as UTF-8. DuckDB, SQLite and files refuse one that cannot."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)
