"""Whatever happens at the bank between two requests: the read is right, or the account is reported unread."""

from datetime import date, timedelta
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sources._errors import Unavailable
from sources._protocols import Reading
from sources._spool import SpoolFile
from sources.kontist import basket
from sources.kontist.rows import SCHEMA
from sources.kontist.transactions import read_transactions
from tests.reading_kontist.fake_bank import (
    ACCOUNT,
    FakeBank,
    Json,
    Memory,
    MemorySpool,
    columns_of,
    in_any_order,
    one_by_one,
    read,
    row,
)

# What a bank does between two requests: rows come, often on top, rows go, a pending row is booked as a new one, one goes and
# another comes at once (so that `total` is as before), a user edits a row.
happenings = st.one_of(
    st.tuples(st.just("come"), st.lists(st.integers(0, 20), min_size=1, max_size=4)),
    st.tuples(st.just("come"), st.lists(st.just(0), min_size=1, max_size=4)),
    st.tuples(st.just("go"), st.lists(st.integers(0, 20), min_size=1, max_size=4)),
    st.tuples(st.just("booked"), st.lists(st.integers(0, 20), min_size=1, max_size=1)),
    st.tuples(st.just("swap"), st.lists(st.integers(0, 20), min_size=2, max_size=2)),
    st.tuples(st.just("edit"), st.lists(st.integers(0, 20), min_size=1, max_size=3)),
)


class ChangingBank(FakeBank):
    """Remembers every version of every row."""

    def begin(self, size: int, plan: dict[int, tuple[str, list[int]]]) -> None:
        self.rows = [
            row(number, str(date(2026, 3, 20) - timedelta((size - number) // 2)), cents=amount_of(number))
            for number in range(size, 0, -1)
        ]
        self.next_id = 1000
        self.versions: list[tuple[int, str | None]] = []
        self.looks: list[list[int]] = []
        """The ids that there were, newest first, at each moment."""
        self.days: dict[int, date] = {}
        self.swapped = False
        self.plan = plan
        self.meanwhile = self.happen
        self.remember()

    def remember(self) -> None:
        self.days |= {int(one["source_transaction_id"]): one["window_on"] for one in columns_of(self.rows)}
        self.versions += [(one["id"], one["category"]) for one in self.rows]
        self.looks.append([one["id"] for one in self.rows])

    def happen(self, asked: int) -> None:
        what, places = self.plan.pop(asked, ("", []))
        if what == "swap" and min(places) < len(self.rows):
            self.swapped = True
            self.rows.pop(min(places))
            self.insert(at := min(max(places), len(self.rows)), like=self.rows[at - 1] if at else None)
        for place in places:
            at = min(place, len(self.rows))
            if what == "come":
                self.insert(at, like=self.rows[at - 1] if at else None)
            elif what == "edit" and at < len(self.rows):
                self.next_id += 1
                self.rows[at] = self.rows[at] | {"category": str(self.next_id)}
            elif what in ("go", "booked") and at < len(self.rows):
                gone = self.rows.pop(at)
                if what == "booked":
                    self.insert(0, like=self.rows[0] if self.rows else gone)
        self.remember()

    def insert(self, place: int, like: Json | None) -> None:
        self.next_id += 1
        like = like or (self.rows[0] if self.rows else row(0))
        self.rows.insert(place, like | {"id": self.next_id, "category": None, "amount": amount_of(self.next_id)})


def amount_of(number: int) -> int:
    """No two rows, and no two sums of some, are the same: what only an equal amount can hide is described in the README."""
    return int.from_bytes(sha256(str(number).encode()).digest()[:5])


@settings(max_examples=250, deadline=None)
@given(
    size=st.integers(0, 12),
    page_size=st.integers(1, 4),
    plan=st.dictionaries(st.integers(2, 20), happenings, max_size=4),
    depth=st.sampled_from(["full", "deep", "shallow"]),
    known=st.integers(0, 12),
    seed=st.none() | st.integers(0, 99),
)
def test_a_read_shows_the_account_as_it_is_or_says_that_it_could_not(
    size: int, page_size: int, plan: dict[int, tuple[str, list[int]]], depth: Any, known: int, seed: int | None
) -> None:
    bank = ChangingBank(page_size=page_size)
    bank.begin(size, plan)
    remembered = MemorySpool()
    once = columns_of(bank.rows)
    still = FakeBank(bank.rows[min(known, size) :], page_size=100)
    read_transactions(still.client(), ACCOUNT, depth="full", since=None, known=Memory(), spool=remembered)

    spool = MemorySpool()
    client = bank.client()
    try:
        reading = read_transactions(
            client,
            client.accounts()[0],
            depth=depth,
            since=date(2026, 3, 17),
            known=Memory(remembered.rows, once),
            spool=spool,
            prefetch=one_by_one if seed is None else in_any_order(seed),
        )
    except Unavailable as error:
        assert "kept changing" in str(error)
        return

    # As it is, or as it was when a swap came behind the page that was just read: never something that it never was.
    claimed = reading.since or date.min
    ids = [int(one["source_transaction_id"]) for one in spool.rows if one["window_on"] >= claimed]
    assert ids in [
        [one for one in look if bank.days[one] >= claimed] for look in (bank.looks if bank.swapped else bank.looks[-1:])
    ]
    for one in spool.rows:
        assert (int(one["source_transaction_id"]), one["category"]) in bank.versions


def first_read(
    bank: ChangingBank, size: int, plan: dict[int, tuple[str, list[int]]], seed: int | None = None
) -> tuple[Reading, MemorySpool]:
    """Reads an account for the first time while the bank follows its plan; checks that it is read right."""
    bank.begin(size, plan)
    reading, spool = read(bank, prefetch=one_by_one if seed is None else in_any_order(seed))
    assert spool.ids in (bank.looks if bank.swapped else bank.looks[-1:])
    assert reading.since is None
    return reading, spool


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 30),
    page_size=st.integers(2, 5),
    arrivals=st.dictionaries(st.integers(2, 20), st.lists(st.just(0), min_size=1, max_size=4), max_size=6),
    seed=st.none() | st.integers(0, 99),
)
def test_rows_that_arrive_on_top_never_restart_a_first_read(
    size: int, page_size: int, arrivals: dict[int, list[int]], seed: int | None
) -> None:
    bank = ChangingBank(page_size=page_size)
    reading, spool = first_read(bank, size, {asked: ("come", places) for asked, places in arrivals.items()}, seed)

    assert spool.cleared == 0
    assert reading.requests == bank.pages_asked
    if seed is None:  # every page once, and from the top down to the first known row until that is one page
        came = len(bank.rows) - size
        assert reading.requests <= -(-(size + came) // page_size) + 2 * (came + 1)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_busy_account_is_first_read_right_and_in_one_go(seed: int | None) -> None:
    """A booking at every request for a page."""
    bank = ChangingBank(page_size=8)
    reading, spool = first_read(bank, 200, {asked: ("come", [0]) for asked in range(2, 200)}, seed)

    assert spool.cleared == 0
    # 200 rows and 28 that came meanwhile are 29 pages, the second looks 4, 1 and 1; out of order, some pages are requested twice
    assert reading.requests <= (35 if seed is None else 70)


@pytest.mark.parametrize("what", ["come", "go", "swap"])
def test_whatever_happens_at_a_page_border_is_corrected_without_a_restart(what: str) -> None:
    """Rows come above, go at and move across each border between two pages, before each request."""
    for asked, border in product((2, 3, 5), (3, 6, 9)):
        for places in ([border - 1], [border], [0, border], [border, 0], [border - 1, border]):
            bank = ChangingBank(page_size=3)
            plan = {asked: (what, places if what != "swap" else [places[0], border + 1])}
            _reading, spool = first_read(bank, 12, plan)
            assert spool.cleared == 0, (what, asked, places)


def test_rows_that_came_last_stand_first_also_where_older_rows_were_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basket, "BATCH_ROWS", 8)
    bank = ChangingBank(page_size=4)
    bank.begin(30, {3: ("come", [0, 0]), 9: ("come", [0]), 10: ("go", [2])})
    client, spool = bank.client(), SpoolFile(tmp_path / "rows.parquet", SCHEMA)
    account = client.accounts()[0]
    read_transactions(client, account, depth="full", since=None, known=Memory(), spool=spool, prefetch=one_by_one)

    rows = parquet.read_table(spool.close() or "").sort_by("position").to_pylist()
    assert [int(one["source_transaction_id"]) for one in rows] == bank.looks[-1]
    assert spool.rows == len(bank.rows)


class SilentBank(ChangingBank):
    """Does not say how many rows there are."""

    def _page(self, number: int) -> Json:
        return super()._page(number) | {"total": None}


def test_a_row_that_goes_hides_no_other_one_where_the_bank_announces_no_total() -> None:
    bank = SilentBank(page_size=5)
    _reading, spool = first_read(bank, 200, {30: ("go", [2])})

    assert spool.cleared == 1


def test_an_old_row_that_goes_is_noticed_beside_one_that_cannot_be_understood() -> None:
    bank = ChangingBank(page_size=5)
    bank.begin(200, {41: ("go", [150])})  # before the second look
    bank.rows[100]["amount"] = "x"
    _reading, spool = read(bank)

    assert spool.ids == [one for one in bank.looks[-1] if one != 100]


def test_a_read_ends_when_each_page_shows_only_rows_that_arrived_meanwhile() -> None:
    bank = ChangingBank(page_size=2)
    with pytest.raises(Unavailable, match="faster than they can be read"):
        first_read(bank, 6, {asked: ("come", [0, 0]) for asked in range(2, 200)})

    assert bank.pages_asked < 150
