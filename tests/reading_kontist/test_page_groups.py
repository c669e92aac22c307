"""Pages that are read together are read as one by one."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sources.kontist.page_groups import read_pages
from sources.kontist.rows import read_rows
from tests.reading_kontist.fake_bank import row

# By field, values as documented; then values that are not, and fields that nobody described.
USUAL: dict[str, list[Any]] = {
    "id": [7, 2**40],
    "amount": [0, -1, 10**15 - 1],
    "bookingDate": ["2026-03-29T01:30:00Z", "2026-03-28T23:00:00.000Z", "2018-08-07T00:00:00+02:00"],
    "valutaDate": [None, "2199-12-31T00:00:00+00:00"],
    "originalAmount": [None, "760", "-5"],
    "userSelectedBookingDate": [None, "2026-03-01T00:00:00Z"],
    "invoiceNumber": [None, 12, "R-12"],
    "name": [None, "", "Zoë 🐘", "a\nb"],
    "purpose": [None, "x" * 300],
}
HOSTILE: dict[str, list[Any]] = {
    "id": [None, "a-1", 1.0, True, "", 2**70, -3],
    "amount": [None, 1.0, 1.5, "100", True, 10**15, -(10**30), [1]],
    "bookingDate": [None, "", "2026-03-01", "2026-03-01T00:00:00", 1_570_399_200_000, "1570399200000", "x"],
    "valutaDate": ["", "tomorrow", 5],
    "originalAmount": ["", "7.60", 760, "9" * 18, "x"],
    "userSelectedBookingDate": ["", "x", 1_570_399_200_000],
    "name": [5, {"first": "A"}, True, "half \ud83d"],
    "invoiceNumber": [1.5, [1], 2**70],
    "carbon": [12],
    "from": [4711],
    "booking_type": ["X"],
}


def rows(values: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    changed = st.one_of([st.tuples(st.just(name), st.sampled_from(of)) for name, of in values.items()])
    return st.builds(lambda number, pairs: row(number) | dict(pairs), st.integers(1, 9), st.lists(changed, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(rows(USUAL), max_size=4), min_size=2, max_size=5))
def test_pages_read_together_are_as_read_one_by_one(pages: list[list[dict[str, Any]]]) -> None:
    bodies = [json.dumps(page).encode() for page in pages]
    together = read_pages(bodies, "4711")

    assert len(together) == (len(bodies) if any(pages) else 1), "as documented: all of them at once"
    for rows_of_page, body in zip(together, bodies, strict=False):
        rows_of_page.batch.validate(full=True)
        assert rows_of_page == read_rows(body, "4711")


def test_a_group_with_a_strange_value_is_read_page_by_page() -> None:
    good = json.dumps([row(1)]).encode()
    for name, value in [(name, value) for name, values in HOSTILE.items() for value in values]:
        strange = json.dumps([row(2) | {name: value}]).encode()
        for read_as, body in zip(read_pages([good, strange], "4711"), [good, strange], strict=False):
            assert read_as == read_rows(body, "4711"), (name, value)


def test_a_damaged_page_in_a_group_is_left_to_its_turn() -> None:
    good = json.dumps([row(1)]).encode()

    assert read_pages([good, b'{"no": "list"}'], "4711") == [read_rows(good, "4711")]
