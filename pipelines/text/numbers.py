"""Numbers with their nouns."""


def counted(number: int, noun: str) -> str:
    """Returns `1 import`, `2 imports`, `1,200 imports`; for nouns whose plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
