"""A long read that is interrupted is continued where it stopped, if the pages still join."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._errors import SourceError
from sources._protocols import Reading
from sources.kontist import basket, kept_read
from sources.kontist.transactions import read_transactions
from tests.reading_kontist.fake_bank import FakeBank, Memory, MemorySpool, a_row_a_day, in_any_order, one_by_one


class MemoryKeeper:
    """Keeps parts in memory: what a process that is killed leaves behind."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def kept(self) -> Iterator[bytes]:
        yield from self.parts

    def keep(self, part: bytes) -> None:
        self.parts.append(part)

    def forget(self) -> None:
        self.parts.clear()


class Killed(BaseException):
    """The end of the process."""


def first_read(bank: FakeBank, keeper: MemoryKeeper, prefetch: Any = one_by_one) -> tuple[Reading, MemorySpool]:
    client, spool = bank.client(), MemorySpool()
    account = client.accounts()[0]
    options: Any = {"depth": "full", "since": None, "known": Memory(), "spool": spool, "keeper": keeper}
    return read_transactions(client, account, prefetch=prefetch, **options), spool


def broken_off(bank: FakeBank, keeper: MemoryKeeper, at: int, how: Callable[[], Any], prefetch: Any = one_by_one) -> None:
    """Reads until the request for page number `at`, which ends `how`."""
    before = bank.meanwhile

    def end(asked: int) -> None:
        if asked >= at:
            how()
        before(asked)

    bank.meanwhile = end
    with suppress(Killed, KeyboardInterrupt, SourceError):
        first_read(bank, keeper, prefetch)
    bank.meanwhile = before
    bank.asked.clear()


def kill() -> None:
    raise Killed


def pages_with(rows: int) -> FakeBank:
    return FakeBank([one | {"amount": 7 ** (one["id"] % 17) + one["id"]} for one in a_row_a_day(rows)], page_size=5)


@pytest.mark.parametrize("how", [Killed, KeyboardInterrupt])
def test_a_read_that_breaks_off_goes_on_where_it_stopped(how: type[BaseException]) -> None:
    bank, keeper = pages_with(300), MemoryKeeper()

    def end() -> None:
        raise how

    broken_off(bank, keeper, 50, end)
    reading, spool = first_read(bank, keeper)

    assert spool.ids == list(range(300, 0, -1))
    assert (spool.cleared, reading.since) == (0, None)
    # 49 pages were read; again the recent ones (46 days) and the first, then 12 pages with the last kept row's, and the first
    assert reading.requests == (11 + 1) + 12 + 1


def test_a_read_that_the_bank_refuses_is_kept_too() -> None:
    bank, keeper = pages_with(300), MemoryKeeper()
    bank.instead = lambda one: httpx.Response(429, headers={"Retry-After": "900"}) if bank.pages_asked > 50 else None
    with pytest.raises(SourceError):
        first_read(bank, keeper)
    bank.instead = lambda _: None
    bank.asked.clear()
    reading, spool = first_read(bank, keeper)

    assert spool.ids == list(range(300, 0, -1))
    assert reading.requests < 30


def test_a_read_that_was_read_to_its_end_but_not_loaded_is_only_confirmed() -> None:
    bank, keeper = pages_with(300), MemoryKeeper()
    broken_off(bank, keeper, 61, kill)  # the second look
    reading, spool = first_read(bank, keeper)

    assert spool.ids == list(range(300, 0, -1))
    assert reading.requests == 11 + 1 + 1


def test_a_short_read_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first_read(pages_with(300), keeper := MemoryKeeper())
    assert keeper.parts == []

    monkeypatch.setattr(kept_read, "SECONDS", 0.0)
    first_read(pages_with(300), keeper)
    assert len(keeper.parts) == 61


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(20, 120),
    page_size=st.integers(2, 7),
    breaks=st.lists(st.integers(2, 30), min_size=1, max_size=3),
    changes=st.lists(st.tuples(st.sampled_from(["come", "go", "edit"]), st.integers(0, 60)), max_size=3),
    every_page=st.booleans(),
    seed=st.none() | st.integers(0, 99),
    newest=st.sampled_from([4, 10_000]),
)
def test_whatever_happens_while_nobody_reads_the_account_is_right_afterwards(
    size: int,
    page_size: int,
    breaks: list[int],
    changes: list[tuple[str, int]],
    every_page: bool,
    seed: int | None,
    newest: int,
) -> None:
    bank, keeper = pages_with(size), MemoryKeeper()
    bank.page_size = page_size
    prefetch = one_by_one if seed is None else in_any_order(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_read, "SECONDS", 0.0 if every_page else 1000.0)
        patch.setattr(basket, "BATCH_ROWS", newest)
        for number, at in enumerate(breaks):
            broken_off(bank, keeper, at, kill, prefetch)
            for what, place in changes:
                change(bank, what, place, number)
        reading, spool = first_read(bank, keeper, prefetch)

    assert spool.ids == [one["id"] for one in bank.rows]
    assert reading.requests == bank.pages_asked
    recent = min(46, newest)  # older ones, and those that are no longer in memory: as an edit during a read
    edits = [one["category"] for one in bank.rows[:recent]]
    assert [one["category"] for one in spool.rows[:recent]] == edits


def change(bank: FakeBank, what: str, place: int, number: int) -> None:
    at = min(place, len(bank.rows) - 1)
    if what == "go" and len(bank.rows) > 5:
        bank.rows.pop(at)
    elif what == "edit":
        bank.rows[at] = bank.rows[at] | {"category": f"edit {number}"}
    elif what == "come":
        at = min(at, 40)  # an old row that comes while another one goes is told of in the README
        new = max(1000, *(one["id"] for one in bank.rows)) + 1
        bank.rows.insert(at, bank.rows[at] | {"id": new, "amount": 3 * new, "category": None})


def test_a_kept_read_with_rows_that_cannot_be_understood_is_taken_up_with_them() -> None:
    bank, keeper = pages_with(300), MemoryKeeper()
    bank.rows[100] |= {"amount": "x"}
    bank.rows[150] |= {"bookingDate": "?"}
    broken_off(bank, keeper, 50, kill)
    _reading, spool = first_read(bank, keeper)

    assert len(spool.ids) == 298
    assert sorted(one["id"] for _, one, _ in spool.rejected) == [150, 200]


@pytest.mark.parametrize("damage", ["cut off", "one bit", "another version", "a part is missing", "another account"])
def test_a_kept_read_that_cannot_be_used_is_dropped_and_the_account_read_anew(
    damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, keeper = pages_with(300), MemoryKeeper()
    monkeypatch.setattr(kept_read, "SECONDS", 0.0)
    if damage == "another version":
        monkeypatch.setattr(kept_read, "FORMAT", 0)
    broken_off(bank, keeper, 50, kill)
    monkeypatch.undo()
    if damage == "cut off":
        keeper.parts[7] = keeper.parts[7][:-20]
    elif damage == "one bit":
        amount = bank.rows[37]["amount"].to_bytes(8, "little")
        before, _, behind = keeper.parts[7].partition(amount)
        assert behind
        keeper.parts[7] = before + bytes([amount[0] ^ 1]) + amount[1:] + behind
    elif damage == "a part is missing":
        del keeper.parts[7]
    elif damage == "another account":
        for one in bank.rows:
            one["id"] += 5000
    reading, spool = first_read(bank, keeper)

    assert [(one["id"], one["amount"]) for one in bank.rows] == [
        (int(one["source_transaction_id"]), one["amount_cents"]) for one in spool.rows
    ]
    assert reading.requests >= 61


def test_an_old_row_that_went_meanwhile_is_noticed_beside_one_that_cannot_be_understood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_read, "SECONDS", 0.0)  # parts of one page: the first one reads as before
    bank, keeper = pages_with(300), MemoryKeeper()
    bank.rows[280] |= {"amount": "x"}
    broken_off(bank, keeper, 61, kill)  # the second look
    del bank.rows[150]
    _reading, spool = first_read(bank, keeper)

    assert spool.ids == [one["id"] for one in bank.rows if one["id"] != 20]
