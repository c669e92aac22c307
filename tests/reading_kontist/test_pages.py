"""How far a read goes, what it claims and what it costs."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._errors import Unavailable, Unexpected
from sources._reading import Reading
from sources.kontist import pages
from sources.kontist.pages import read_transactions
from tests.reading_kontist.fake_bank import ACCOUNT, V21, FakeBank, Json, Memory, MemorySpool, row


def read(
    bank: FakeBank, depth: Any = "full", *, since: str | None = None, known: Memory | None = None
) -> tuple[Reading, MemorySpool]:
    spool = MemorySpool()
    day = date.fromisoformat(since) if since else None
    reading = read_transactions(bank.client(), ACCOUNT, depth=depth, since=day, known=known or Memory(), spool=spool)
    return reading, spool


def known_of(rows: list[Json]) -> Memory:
    """A history that has read `rows` before."""
    return Memory(read(FakeBank(rows, page_size=100))[1].rows)


def a_row_a_day(days: int, *, newest: str = "2026-03-20") -> list[Json]:
    """Rows `days`…1, newest first."""
    last = date.fromisoformat(newest)
    return [row(number, str(last - timedelta(days - number))) for number in range(days, 0, -1)]


def page_bodies(*bodies: Any) -> Callable[[httpx.Request], httpx.Response | None]:
    """Answers page 1, 2, … with these bodies."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.rstrip("/").endswith("/transactions"):
            return None
        return httpx.Response(200, json=bodies[int(request.url.params.get("page", 1)) - 1])

    return answer


# ---- full


def test_a_full_read_brings_everything_in_the_banks_order_and_looks_at_page_one_again() -> None:
    reading, spool = read(bank := FakeBank(a_row_a_day(5)))

    assert spool.ids == [5, 4, 3, 2, 1]
    assert (reading.since, reading.depth, reading.requests) == (None, "full", 4)
    assert bank.pages_asked == 4
    assert len(spool.batches) == 1


def test_a_read_of_one_page_needs_no_second_look() -> None:
    reading, spool = read(bank := FakeBank(a_row_a_day(2)))

    assert (spool.ids, reading.requests, bank.pages_asked) == ([2, 1], 1, 1)


def test_an_account_without_transactions_is_read_to_its_end() -> None:
    for depth in ("full", "shallow"):
        reading, spool = read(FakeBank([]), depth)
        assert (spool.batches, reading.since, reading.requests) == ([], None, 1)


def test_every_page_is_asked_for_with_the_exact_media_type() -> None:
    read(bank := FakeBank(a_row_a_day(5)))

    assert {one.headers["Accept"] for one in bank.asked if "transactions" in one.url.path} == {V21}


def test_a_bare_array_is_one_page() -> None:
    bank = FakeBank(instead=page_bodies(a_row_a_day(3)))

    assert read(bank)[1].ids == [3, 2, 1]


@pytest.mark.parametrize("end", [{"next": None}, {"next": ""}, {}])
def test_a_missing_or_empty_next_is_the_end(end: Json) -> None:
    bank = FakeBank(instead=page_bodies({"total": 2, "results": a_row_a_day(2)} | end))

    assert read(bank)[0].since is None


def test_rows_reach_the_spool_in_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BATCH_ROWS", 4)
    _, spool = read(FakeBank(a_row_a_day(11)))

    assert [batch.num_rows for batch in spool.batches] == [4, 4, 3]


# ---- deep


def test_a_deep_read_ends_with_the_first_page_that_is_older_as_a_whole() -> None:
    reading, spool = read(FakeBank(a_row_a_day(20)), "deep", since="2026-03-18")

    assert spool.ids == [20, 19, 18, 17, 16, 15]  # the page of 18 and 17 is not older as a whole, the next one is
    assert (reading.since, reading.requests) == (date(2026, 3, 18), 4)


def test_a_deep_read_that_meets_the_end_claims_what_was_asked_for() -> None:
    assert read(FakeBank(a_row_a_day(3)), "deep", since="2020-01-01")[0].since == date(2020, 1, 1)


def test_a_deep_read_needs_its_day() -> None:
    with pytest.raises(ValueError, match="reaches back"):
        read(FakeBank([]), "deep")


# ---- shallow


def test_nothing_new_costs_one_page() -> None:
    world = a_row_a_day(9)
    reading, _ = read(bank := FakeBank(world), "shallow", known=known_of(world))

    assert bank.pages_asked == reading.requests == 1
    assert reading.since == date(2026, 3, 20)  # the day before may go on on the next page


def test_a_new_row_costs_one_page_more_and_a_second_look_and_is_claimed() -> None:
    world = a_row_a_day(9)
    reading, spool = read(FakeBank(world), "shallow", known=known_of(world[1:]))

    assert (reading.since, reading.requests) == (date(2026, 3, 18), 3)
    assert spool.ids == [9, 8, 7, 6]


def test_a_shallow_read_goes_on_until_the_day_of_a_new_row_is_over() -> None:
    busy = [row(number, "2026-03-20") for number in range(20, 13, -1)]
    world = [*busy, *a_row_a_day(9, newest="2026-03-19")]
    reading, spool = read(FakeBank(world), "shallow", known=known_of(world[1:]))

    assert (spool.ids[-1], reading.since) == (9, date(2026, 3, 20))  # the first page that ends on another day


def test_a_shallow_read_passes_every_pending_row() -> None:
    world = a_row_a_day(20)
    pending = row(99, "2026-03-13", pending=True)
    reading, spool = read(FakeBank(world), "shallow", known=known_of([*world[:8], pending, *world[8:]]))

    assert reading.since == date(2026, 3, 12)
    assert spool.ids[-1] == 11


def test_an_account_that_nobody_knows_is_read_to_its_end() -> None:
    reading, spool = read(FakeBank(a_row_a_day(9)), "shallow")

    assert (reading.since, len(spool.ids)) == (None, 9)


days = st.integers(0, 6).map(lambda back: str(date(2026, 3, 20) - timedelta(back)))


@st.composite
def worlds_and_what_is_known(draw: st.DrawFn) -> tuple[list[Json], list[Json]]:
    """What the bank shows now, and what it showed before: rows gone, come, changed, booked."""
    now: list[tuple[str, Json]] = []
    before: list[tuple[str, Json]] = []
    for number, day in enumerate(draw(st.lists(days, max_size=14)), 1):
        one = row(number, day, pending=draw(st.integers(0, 5)) == 0)
        before.append((day, one))
        match draw(st.sampled_from(["same"] * 12 + ["gone", "changed", "booked"])):
            case "same":
                now.append((day, one))
            case "changed":
                now.append((day, one | {"category": "VAT_19"}))
            case "booked":
                now.append((day, row(number, day)))
    now += [(day, row(100 + number, day)) for number, day in enumerate(draw(st.lists(days, max_size=2)))]
    return newest_first(now), newest_first(before)


def newest_first(rows: list[tuple[str, Json]]) -> list[Json]:
    return [one for _, one in sorted(rows, key=lambda pair: pair[0], reverse=True)]


@settings(max_examples=150, deadline=None)
@given(worlds_and_what_is_known(), st.integers(1, 4))
def test_a_shallow_read_claims_whole_days_and_everything_new_that_it_saw(
    worlds: tuple[list[Json], list[Json]], page_size: int
) -> None:
    now, before = worlds
    known, world = known_of(before), known_of(now).rows
    reading, spool = read(bank := FakeBank(now, page_size), "shallow", known=known)
    claimed = reading.since or date.min

    assert [one for one in spool.rows if one["window_on"] >= claimed] == [one for one in world if one["window_on"] >= claimed]
    assert all(one["window_on"] >= claimed for one in spool.rows if one not in known.rows)
    assert all(one["window_on"] >= claimed for one in known.rows if one["valuta_date"] is None)
    assert bank.pages_asked == reading.requests
    if known.rows == world and known.oldest_pending() is None:
        assert reading.requests == 1


# ---- rows that cannot be understood


def test_a_refused_row_gets_its_own_day_or_its_newer_neighbours() -> None:
    world = [row(5, bookingDate="?"), row(4), row(3, "2026-03-19", cents=None), row(2, "2026-03-18"), row(1, bookingDate="?")]
    _, spool = read(FakeBank(world, page_size=3))

    assert [(one["id"], day) for _, one, day in spool.rejected] == [
        (3, date(2026, 3, 19)),
        (5, date(2026, 3, 20)),
        (1, date(2026, 3, 18)),
    ]
    assert spool.ids == [4, 2]


def test_refused_rows_alone_are_no_reason_to_stop_and_have_no_day() -> None:
    reading, spool = read(FakeBank([row(number, bookingDate="?") for number in range(5)]), "shallow")

    assert (len(spool.rejected), reading.since) == (5, None)
    assert {day for _, _, day in spool.rejected} == {None}


def test_a_shallow_read_claims_the_day_of_a_refused_row() -> None:
    world = a_row_a_day(9)
    broken = [world[0], row(50, "2026-03-19", cents="x"), *world[1:]]
    reading, _ = read(FakeBank(broken), "shallow", known=known_of(world))

    assert reading.since is not None
    assert reading.since <= date(2026, 3, 19)


def test_total_may_or_may_not_count_a_row_that_nobody_can_read() -> None:
    for total in (2, 3):
        bank = FakeBank(instead=page_bodies({"next": None, "total": total, "results": [row(9, cents="x"), *a_row_a_day(2)]}))
        assert read(bank)[1].ids == [2, 1]


def test_unknown_fields_are_reported() -> None:
    world = a_row_a_day(5)
    world[3] |= {"carbonFootprint": 12}

    assert read(FakeBank(world))[0].unknown_fields == {"carbonFootprint"}


# ---- pages that lead astray


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.test/api/accounts/4711/transactions?page=2",
        "//evil.test/api/accounts/4711/transactions?page=2",
        "http://kontist.test/api/accounts/4711/transactions?page=2",
        "https://kontist.test@evil.test/api/accounts/4711/transactions",
        "https://kontist.test:444/api/accounts/4711/transactions?page=2",
        "/api/accounts/4712/transactions?page=2",
        "/api/accounts/4711/../4712/transactions?page=2",
        "/api/accounts/47110/transactions?page=2",
        "http://[",
        17,
        {"page": 2},
    ],
)
def test_a_next_that_leads_elsewhere_is_never_followed(following: Any) -> None:
    bank = FakeBank(instead=page_bodies({"next": following, "total": 9, "results": a_row_a_day(2)}))
    with pytest.raises(Unexpected):
        read(bank)

    assert bank.pages_asked == 1
    assert {one.url.host for one in bank.asked} == {"kontist.test"}


@pytest.mark.parametrize(
    "following", ["https://kontist.test/api/accounts/4711/transactions?page=2", "?page=2", "transactions?page=2"]
)
def test_a_next_on_the_same_host_may_be_written_in_other_ways(following: str) -> None:
    world = a_row_a_day(3)
    first, second = {"next": following, "total": 3, "results": world[:2]}, {"next": None, "total": 3, "results": world[2:]}

    assert read(FakeBank(instead=page_bodies(first, second)))[1].ids == [3, 2, 1]


@pytest.mark.parametrize("back", [1, 2])
def test_pages_that_go_in_a_circle_are_left(back: int) -> None:
    world = a_row_a_day(4)
    address = "/api/accounts/4711/transactions?page="
    first = {"next": address + "2", "total": 9, "results": world[:2]}
    second = {"next": address + str(back), "total": 9, "results": world[2:]}
    bank = FakeBank(instead=page_bodies(first, second))

    with pytest.raises(Unexpected, match="circle"):
        read(bank)
    assert bank.pages_asked == 2


def test_an_empty_page_in_the_middle_is_unexpected() -> None:
    bank = FakeBank(instead=page_bodies({"next": "/api/accounts/4711/transactions?page=2", "total": 9, "results": []}))

    with pytest.raises(Unexpected, match="empty"):
        read(bank)


def test_a_page_that_is_not_newest_first_stops_the_account() -> None:
    bank = FakeBank(a_row_a_day(4)[::-1])

    with pytest.raises(Unexpected, match="newest first"):
        read(bank)
    assert bank.pages_asked == 1


def test_a_newer_day_on_the_next_page_is_read_again_before_it_is_unexpected() -> None:
    world = a_row_a_day(4)
    bank = FakeBank([*world[2:], *world[:2]])

    with pytest.raises(Unexpected, match="newer day"):
        read(bank)
    assert bank.pages_asked == 8


def test_the_order_within_a_day_is_the_banks() -> None:
    world = [row(1), row(7), row(3), row(5, "2026-03-19")]

    assert read(FakeBank(world))[1].ids == [1, 7, 3, 5]


@pytest.mark.parametrize("total", [1, 5])
def test_another_number_of_rows_than_told_is_unexpected_at_last(total: int) -> None:
    bank = FakeBank(instead=page_bodies({"next": None, "total": total, "results": a_row_a_day(3)}))

    with pytest.raises(Unexpected, match="more transactions"):
        read(bank)
    assert bank.pages_asked == 4


# ---- pages that shift


def test_a_row_that_comes_while_we_read_is_read_too() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(6)) if asked == 2 else None
    reading, spool = read(bank)

    assert (spool.ids, spool.cleared, reading.requests) == ([6, 5, 4, 3, 2, 1], 1, 6)


def test_a_row_that_comes_before_the_second_look_is_read_too() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(6)) if asked == 4 else None

    assert read(bank)[1].ids == [6, 5, 4, 3, 2, 1]


def test_an_account_that_keeps_changing_is_left_to_the_next_run() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(100 + asked))

    with pytest.raises(Unavailable, match="kept changing"):
        read(bank)
    assert bank.pages_asked == 8


def test_a_bank_that_always_repeats_a_pages_last_row_is_understood() -> None:
    reading, spool = read(FakeBank(a_row_a_day(7), overlap=1))

    assert spool.ids == [7, 6, 5, 4, 3, 2, 1]
    assert (spool.cleared, reading.requests) == (2, 2 + 2 + 5)


def test_a_bank_that_repeated_rows_because_of_changes_is_read_strictly_on() -> None:
    bank = FakeBank(a_row_a_day(9))

    def change(asked: int) -> None:
        if asked in (2, 4):  # the first two tries: a new row, so that the next page begins with a repeated one
            bank.rows.insert(0, row(100 + asked))
        if asked == 7:  # the third try: a row comes behind page one and another goes, so that `total` stays
            bank.rows = [*bank.rows[:3], row(99, "2026-03-19"), *bank.rows[3:-1]]

    bank.meanwhile = change
    assert 99 in read(bank, "deep", since="2026-03-16")[1].ids


def test_a_refused_row_that_changes_places_with_another_is_noticed() -> None:
    bank = FakeBank([row(9, cents="x"), *a_row_a_day(4)])

    def change(asked: int) -> None:
        if asked == 3:
            bank.rows[0] = row(8, cents="x")

    bank.meanwhile = change
    assert [one["id"] for _, one, _ in read(bank)[1].rejected] == [8]


def test_a_row_that_comes_twice_on_one_page_is_not_doubled() -> None:
    bank = FakeBank(instead=page_bodies({"next": None, "total": 3, "results": [row(2), row(2), row(1)]}))

    with pytest.raises(Unavailable, match="twice"):
        read(bank)


def test_signed_links_and_unknown_fields_may_differ_at_every_look() -> None:
    bank = FakeBank(a_row_a_day(5))

    def sign_again(asked: int) -> None:
        bank.rows = [one | {"invoicePreviewUrl": f"https://files?{asked}", "seen": asked} for one in bank.rows]

    bank.meanwhile = sign_again
    assert read(bank)[0].requests == 4
