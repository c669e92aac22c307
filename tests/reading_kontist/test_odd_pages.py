"""Pages that lead to another host or in a circle, contradict each other, or shift while they are read."""

from datetime import date, timedelta
from typing import Any

import pytest

from sources._errors import SourceError, Unavailable, Unexpected
from tests.reading_kontist.fake_bank import FakeBank, a_row_a_day, known_of, page_bodies, read, row

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
def test_another_number_of_rows_than_announced_is_unexpected_at_last(total: int) -> None:
    bank = FakeBank(instead=page_bodies({"next": None, "total": total, "results": a_row_a_day(3)}))

    with pytest.raises(Unexpected, match="more transactions"):
        read(bank)
    assert bank.pages_asked == 4


# ---- pages that shift


def test_a_row_that_comes_while_we_read_is_read_too_and_the_balance_with_it() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(6)) if asked == 2 else None
    reading, spool = read(bank)

    assert (spool.ids, spool.cleared, reading.requests) == ([6, 5, 4, 3, 2, 1], 0, 4)
    assert (reading.account or {})["balance_cents"] == 600
    assert read(FakeBank(a_row_a_day(5)))[0].account is None, "nothing happened: the account's row is as it was"


def test_a_shallow_read_starts_again_when_a_row_comes_and_brings_the_balance_with_it() -> None:
    bank = FakeBank(a_row_a_day(9))
    known = known_of(bank.rows[4:])
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(10)) if asked == 2 else None
    reading, spool = read(bank, "shallow", known=known)

    assert (spool.ids[0], spool.cleared) == (10, 1)
    assert (reading.account or {})["balance_cents"] == 1000


def test_a_row_that_comes_before_the_second_look_is_read_too() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(6)) if asked == 4 else None

    assert read(bank)[1].ids == [6, 5, 4, 3, 2, 1]


def test_a_row_of_the_first_page_that_is_edited_while_we_read_is_kept_as_it_is_now() -> None:
    bank = FakeBank(a_row_a_day(5))

    def edit(asked: int) -> None:
        if asked == 4:  # the second look
            bank.rows[1] = bank.rows[1] | {"purpose": "edited"}

    bank.meanwhile = edit
    spool = read(bank)[1]
    assert (spool.cleared, spool.rows[1]["purpose"]) == (0, "edited")


def test_a_row_that_goes_while_another_comes_behind_it_is_noticed_by_the_balance() -> None:
    world = [one | {"amount": 3 ** one["id"]} for one in a_row_a_day(8)]
    bank = FakeBank(world)

    def swap(asked: int) -> None:
        if asked == 3:  # page two was read; its second row goes, one on page four comes, and page three begins one row later
            bank.rows = [*world[:3], *world[4:6], row(99, "2026-03-15", cents=5), *world[6:]]

    bank.meanwhile = swap
    reading, spool = read(bank)
    assert (spool.ids, spool.cleared) == ([8, 7, 6, 4, 3, 99, 2, 1], 0)
    assert reading.requests == (4 + 1) + (4 + 1), "what the second look shows counts"


def test_two_pages_are_confirmed_by_the_balance_too() -> None:
    world = [one | {"amount": 3 ** one["id"]} for one in a_row_a_day(4)]
    bank = FakeBank(world)
    # while page two is asked for, row 3 of page one is away and another is there at the end: row 2 is on neither page
    shown = {2: [world[0], *world[2:], row(99, "2026-03-10", cents=5)], 3: world}
    bank.meanwhile = lambda asked: setattr(bank, "rows", shown.get(asked, world))
    reading, spool = read(bank)

    assert (spool.ids, spool.cleared, reading.requests) == ([4, 3, 2, 1], 0, (2 + 1) + (2 + 1))


@pytest.mark.parametrize("balance", [None, 17])
def test_a_balance_that_never_fits_costs_a_second_look_and_never_the_account(balance: int | None) -> None:
    bank = FakeBank(a_row_a_day(5), accounts=[{"id": 4711, "iban": None, "balance": balance}])
    reading, spool = read(bank)
    assert (spool.ids, reading.requests) == ([5, 4, 3, 2, 1], 2 * (3 + 1))
    # one page is one answer: nothing to vouch for
    assert read(FakeBank(a_row_a_day(2), accounts=bank.accounts))[0].requests == 1


def test_a_long_account_whose_balance_never_fits_is_read_once_and_its_recent_days_twice() -> None:
    bank = FakeBank(a_row_a_day(200), accounts=[{"id": 4711, "iban": None, "balance": 17}])
    reading, spool = read(bank)

    assert (spool.ids, spool.cleared, reading.since) == (list(range(200, 0, -1)), 0, None)
    # 45 days before the newest row are 46 rows; the page that begins before them is the last of the second look
    assert reading.requests == (100 + 1) + (24 + 1)


def test_the_second_look_goes_back_to_the_oldest_reservation() -> None:
    world = a_row_a_day(200)
    world[99] = row(101, str(date(2026, 3, 20) - timedelta(99)), pending=True)
    reading, spool = read(FakeBank(world, accounts=[{"id": 4711, "iban": None, "balance": 17}]))

    assert len(spool.ids) == 200
    assert reading.requests == (100 + 1) + (51 + 1)


def test_an_account_to_which_rows_come_faster_than_pages_can_be_read_is_left_to_the_next_run() -> None:
    bank = FakeBank(a_row_a_day(5))
    bank.meanwhile = lambda asked: bank.rows.insert(0, row(100 + asked))

    with pytest.raises(Unavailable, match="kept changing"):
        read(bank)
    assert bank.pages_asked == 5 + 10 * 5


def test_an_account_whose_rows_keep_going_is_left_to_the_next_run() -> None:
    bank = FakeBank(a_row_a_day(50))
    bank.meanwhile = lambda _: bank.rows.pop(0)

    with pytest.raises(Unavailable, match="kept changing"):
        read(bank)


def test_a_bank_that_always_repeats_a_pages_last_row_is_understood() -> None:
    reading, spool = read(FakeBank(a_row_a_day(7), overlap=1))

    assert spool.ids == [7, 6, 5, 4, 3, 2, 1]
    assert (spool.cleared, reading.requests) == (0, 4 + 1)


def test_a_row_without_an_id_is_never_taken_for_a_repeated_one() -> None:
    world = [row(4), row(3), row(None), row(None), row(1)]  # type: ignore[arg-type]
    _reading, spool = read(FakeBank(world, page_size=3))

    assert (spool.ids, len(spool.rejected), spool.cleared) == ([4, 3, 1], 2, 0)


def test_a_bank_that_repeated_rows_because_of_changes_is_read_strictly_on() -> None:
    bank = FakeBank(a_row_a_day(9))

    def change(asked: int) -> None:
        if asked in (2, 4):  # the first two tries: a new row, so that the next page begins with a repeated one
            bank.rows.insert(0, row(100 + asked))
        if asked == 7:  # the third try: a row comes behind page one and another goes, so that `total` stays
            bank.rows = [*bank.rows[:3], row(99, "2026-03-19"), *bank.rows[3:-1]]

    bank.meanwhile = change
    assert 99 in read(bank)[1].ids


def test_a_refused_row_that_changes_places_with_another_is_noticed() -> None:
    bank = FakeBank([row(9, cents="x"), *a_row_a_day(4)])

    def change(asked: int) -> None:
        if asked == 3:
            bank.rows[0] = row(8, cents="x")

    bank.meanwhile = change
    assert [one["id"] for _, one, _ in read(bank)[1].rejected] == [8]


@pytest.mark.parametrize("total", [2, 3])
def test_a_row_that_a_page_lists_twice_counts_once(total: int) -> None:
    page = {"next": None, "total": total, "results": [row(2), row(2), row(1)]}
    reading, spool = read(FakeBank(instead=page_bodies(page)))

    assert spool.ids == [2, 1]
    assert (spool.rejected, reading.since) == ([], None)


def test_of_a_row_that_a_page_lists_twice_and_differently_the_newest_counts_and_the_other_is_reported() -> None:
    page = {"next": None, "total": 2, "results": [row(2, cents=100), row(2, cents=999), row(1)]}
    _, spool = read(FakeBank(instead=page_bodies(page)))

    assert spool.ids == [2, 1]
    assert [one["amount_cents"] for one in spool.rows] == [100, 100]
    assert ["lists this id twice" in one[0] for one in spool.rejected] == [True]


def test_signed_links_and_unknown_fields_may_differ_at_every_look() -> None:
    bank = FakeBank(a_row_a_day(5))

    def sign_again(asked: int) -> None:
        bank.rows = [one | {"invoicePreviewUrl": f"https://files?{asked}", "seen": asked} for one in bank.rows]

    bank.meanwhile = sign_again
    assert read(bank)[0].requests == 4


def test_a_longer_second_page_and_a_larger_total_are_no_crash() -> None:
    rows = a_row_a_day(6)
    following = "/api/accounts/4711/transactions?page=2"
    first, second = {"next": following, "total": 6, "results": rows[:1]}, {"next": None, "total": 9, "results": rows[1:]}
    with pytest.raises(SourceError):
        read(FakeBank(rows, instead=page_bodies(first, second)))
