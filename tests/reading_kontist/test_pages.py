"""How far a read goes, what it claims and what it costs."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.kontist import basket
from tests.reading_kontist.fake_bank import V21, FakeBank, Json, a_row_a_day, known_of, page_bodies, read, row

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
    monkeypatch.setattr(basket, "BATCH_ROWS", 4)
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


@settings(max_examples=100, deadline=None)
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
