"""The patterns that find texts with a word of `payment_kinds`: they pass over no text in which the models would find one."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import macros, payment_words, seeds

WORDS = [
    row["value"] or ""
    for seed in seeds.read()
    if seed.name == "payment_kinds"
    for row in seed.rows
    if row["field"] == "description"
]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    macros.add_helpers(made)
    seeds.fill(made, seeds.read())
    return made


def may_have(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    found = connection.execute("select seeds.may_have_payment_words($1)", [text]).fetchone()
    return bool(found and found[0])


letters = st.sampled_from("aäåéęłøßœ MIETE-/.,")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(WORDS),
    st.sampled_from([str, str.upper, str.lower, payment_words.plain]),
    st.text(letters, max_size=6),
    st.sampled_from(" -/,.:"),
)
def test_a_word_is_found_in_any_case_and_with_or_without_its_accents(
    connection: duckdb.DuckDBPyConnection, word: str, written: type[str], around: str, sign: str
) -> None:
    assert may_have(connection, f"{around}{sign}{written(word)}{sign}{around}")


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F)), st.sampled_from(WORDS)))
def test_python_and_the_models_read_the_same_words(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute("select coalesce(plain_words($1), '')", [text]).fetchone() == (payment_words.plain(text),)


def test_most_texts_are_passed_over(connection: duckdb.DuckDBPyConnection) -> None:
    assert not any(may_have(connection, text) for text in ("Mietwagen", "Gehaltvoll essen", "Kreditkarte", "Rechnung 5", ""))


def test_many_words_are_in_several_patterns() -> None:
    assert len(payment_words.patterns(f"word{number}" for number in range(1000))) == 4
    assert payment_words.patterns(["--", ""]) == []
