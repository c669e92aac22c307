"""A full read by cursor that breaks off goes on where it stopped, if the stored rows still join what the bank shows."""

from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._errors import SourceError
from sources.kontist import kept_read
from tests.reading_kontist.live_bank import LiveBank
from tests.reading_kontist.test_changing_cursors import found, read
from tests.reading_kontist.test_kept_reads import Killed, MemoryKeeper


def bank_with(rows: int, cursors: Any = "place", *, further: bool = False) -> LiveBank:
    bank = LiveBank(5, cursors, further)
    bank.begin(rows, every=1)
    return bank


def broken_off(bank: LiveBank, keeper: MemoryKeeper, at: int, how: BaseException | None = None) -> None:
    """Reads until page number `at` is asked for: the process is killed, or the bank refuses every further page."""
    before, first = bank.spoil, bank.pages_asked

    def end(asked: int, content: Any) -> httpx.Response | None:
        if asked - first < at:
            return before(asked, content)
        if how is not None:
            raise how
        return httpx.Response(403)

    bank.spoil = end
    with suppress(Killed, SourceError):
        read(bank, keeper=keeper)
    bank.spoil = before


@pytest.mark.parametrize("how", [Killed(), None], ids=["killed", "refused"])
def test_a_read_that_breaks_off_goes_on_where_it_stopped(how: BaseException | None) -> None:
    bank, keeper = bank_with(300), MemoryKeeper()
    broken_off(bank, keeper, 50, how)
    assert len(keeper.parts) > 0
    bank.come(0)
    reading, spool = read(bank, keeper=keeper)
    assert (found(reading, spool), spool.cleared, reading.since) == (bank.state, 0, None)
    # 49 pages were read: again those of 45 days, the last one, then 11 to the end, and twice more the recent ones
    assert reading.requests <= 10 + 1 + 11 + 2 * 10


def test_a_read_that_was_read_to_its_end_but_not_loaded_is_only_confirmed() -> None:
    bank, keeper = bank_with(300), MemoryKeeper()
    broken_off(bank, keeper, 61, Killed())  # the recent pages again
    reading, spool = read(bank, keeper=keeper)
    assert (found(reading, spool), spool.cleared) == (bank.state, 0)
    assert reading.requests <= 2 * 10


@pytest.mark.parametrize(
    "damage", ["the last row is gone", "the cursor is refused", "a row came among the last", "another account"]
)
def test_a_read_that_does_not_join_is_read_from_the_start(damage: str) -> None:
    bank, keeper = bank_with(200), MemoryKeeper()
    broken_off(bank, keeper, 30, Killed())
    refused = bank.pages_asked
    if damage == "the last row is gone":
        bank.go(29 * 5 - 1)
    elif damage == "a row came among the last":
        bank.come(29 * 5 - 3)
    elif damage == "the cursor is refused":
        bank.spoil = lambda asked, _: httpx.Response(400) if asked == refused + 11 else None
    else:
        for one in bank.rows:
            one["id"] = f"other-{one['id']}"
        bank.remember()
    reading, spool = read(bank, keeper=keeper)
    assert (found(reading, spool), spool.cleared) == (bank.state, 1)


def test_a_bank_that_is_away_leaves_what_was_stored() -> None:
    bank, keeper = bank_with(300), MemoryKeeper()
    broken_off(bank, keeper, 50, Killed())
    for at in (1, 5, 11, 12):
        broken_off(bank, keeper, at, Killed())
    reading, spool = read(bank, keeper=keeper)
    assert (found(reading, spool), spool.cleared) == (bank.state, 0)
    assert reading.requests <= 10 + 1 + 11 + 10


def test_a_further_account_is_read_twice_and_its_first_read_goes_on() -> None:
    bank, keeper = bank_with(200, further=True), MemoryKeeper()
    broken_off(bank, keeper, 30, Killed())
    broken_off(bank, keeper, 50, Killed())  # in the second read
    reading, spool = read(bank, keeper=keeper)
    assert (found(reading, spool), spool.cleared) == (bank.state, 1)
    assert reading.requests < 2 * (40 + 10) + 10


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(10, 80),
    cursors=st.sampled_from(["place", "offset", "row"]),
    further=st.booleans(),
    breaks=st.lists(st.integers(2, 20), min_size=1, max_size=3),
    changes=st.lists(st.tuples(st.sampled_from(["come", "go", "book", "edit"]), st.integers(0, 60)), max_size=3),
)
def test_whatever_happens_while_nobody_reads_the_account_is_right_afterwards(
    size: int, cursors: Any, further: bool, breaks: list[int], changes: list[tuple[str, int]]
) -> None:
    bank, keeper = bank_with(size, cursors, further=further), MemoryKeeper()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_read, "SECONDS", 0.0)
        for at in breaks:
            broken_off(bank, keeper, at, Killed())
            for what, place in changes:
                getattr(bank, what)(place)
        reading, spool = read(bank, keeper=keeper)
    assert found(reading, spool) == bank.state
