"""Whatever happens at the live service between two requests: the read is right, or the account is reported unread."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from itertools import product
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sources._errors import SourceError, Unavailable, Unexpected
from sources._protocols import Depth, Reading
from sources.kontist.cursor_reading import Wanted, read_by_cursor
from tests.reading_kontist.fake_bank import Memory, MemorySpool
from tests.reading_kontist.live_bank import NEWEST, Json, LiveBank, State

WINDOW = NEWEST - timedelta(2)
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["come", "reserve", "go", "book", "edit"]), st.integers(0, 14)), min_size=1, max_size=2
)


def follow(bank: LiveBank, plan: dict[int, list[tuple[str, int]]]) -> None:
    def happen(asked: int) -> None:
        for what, place in plan.get(asked, ()):
            if what == "reserve":
                bank.come(place, pending=True)
            else:
                getattr(bank, what)(place)

    bank.meanwhile = happen


def read(bank: LiveBank, depth: Depth = "full", known: Memory | None = None, keeper: Any = None) -> tuple[Reading, MemorySpool]:
    client, spool = bank.client(), MemorySpool()
    account = client.accounts()[-1]
    wanted = Wanted(depth, WINDOW if depth == "deep" else None, known or Memory())
    return read_by_cursor(client, account, wanted, spool, keeper), spool


def found(reading: Reading, spool: MemorySpool) -> State:
    since = reading.since or date.min
    return tuple(
        (one["source_transaction_id"], one["amount_cents"], one["valuta_date"] is not None)
        for one in spool.rows
        if one["window_on"] >= since
    )


def at(bank: LiveBank, look: State, since: date | None) -> State:
    return tuple(one for one in look if bank.days[one[0]] >= (since or date.min))


@settings(max_examples=60, deadline=None)
@example(2, 1, 0, {2: [("come", 0)], 3: [("come", 0), ("reserve", 4)]}, "full", 0, "place", False, False)
@given(
    size=st.integers(0, 14),
    page_size=st.integers(1, 4),
    pending=st.integers(0, 3),
    plan=st.dictionaries(st.integers(2, 14), HAPPENINGS, max_size=3),
    depth=st.sampled_from(["full", "deep", "shallow"]),
    known=st.integers(0, 14),
    cursors=st.sampled_from(["place", "offset", "row"]),
    further=st.booleans(),
    hides=st.booleans(),
)
def test_a_read_shows_the_account_as_it_is_or_says_that_it_could_not(
    size: int, page_size: int, pending: int, plan: Any, depth: Any, known: int, cursors: Any, further: bool, hides: bool
) -> None:
    before = LiveBank(page_size=50, further=further)
    before.begin(size, pending=pending)
    once = read(before)[1].rows
    bank = LiveBank(page_size, cursors, further, filter_hides_pending=hides)
    bank.begin(size, pending=pending)
    follow(bank, plan)
    try:
        reading, spool = read(bank, depth, Memory(once[min(known, size) :], once))
    except (Unavailable, Unexpected) as error:
        assert "kept changing" in str(error) or "do not fit together" in str(error) or "circle" in str(error)
        return
    assert found(reading, spool) in [at(bank, look, reading.since) for look in bank.looks]


@pytest.mark.parametrize("cursors", ["place", "row"])
def test_a_busy_account_is_read_right_and_in_one_go(cursors: Any) -> None:
    """A booking before every request for a page."""
    bank = LiveBank(8, cursors)
    bank.begin(200, every=1)
    follow(bank, {asked: [("come", 0)] for asked in range(2, 200)})
    reading, spool = read(bank)
    assert found(reading, spool) == bank.looks[-1]
    assert spool.cleared == 0
    # 25 pages; 45 days are 6 pages at first and 12 at last, as each request brings another row
    assert reading.requests <= 25 + 4 * 12 + 4


@pytest.mark.parametrize("change", ["reserve", "go", "edit", "book"])
def test_a_change_at_any_place_before_any_request_is_read_or_undone(change: str) -> None:
    for asked, place in product(range(2, 6), range(9)):
        bank = LiveBank(3)
        bank.begin(9, pending=4)
        follow(bank, {asked: [(change, place)], asked + 1: [("come", 0)]})
        reading, spool = read(bank)
        assert found(reading, spool) in bank.looks[asked - 1 :], (asked, place)


def test_rows_that_arrive_faster_than_they_can_be_read_end_the_read() -> None:
    bank = LiveBank(2)
    bank.begin(6)
    follow(bank, {asked: [("come", 0), ("come", 0)] for asked in range(2, 400)})
    with pytest.raises(Unavailable, match="faster than they can be read"):
        read(bank)
    assert bank.pages_asked < 400


def test_a_balance_that_is_of_another_moment_than_the_rows_costs_one_request() -> None:
    """A row is booked between the list of accounts and the first page."""
    bank = LiveBank(50)
    bank.begin(120)  # of 45 days are 90
    client, spool = bank.client(), MemorySpool()
    account = client.accounts()[0]
    bank.come(0)
    reading = read_by_cursor(client, account, Wanted("full", None, Memory()), spool)
    assert (found(reading, spool), reading.requests, spool.cleared) == (bank.state, 3 + 2, 0)
    assert (reading.account or {})["balance_cents"] == bank.balance


@pytest.mark.parametrize("further", [False, True], ids=["an opening balance", "a balance of an unknown unit"])
def test_a_balance_that_says_nothing_costs_a_second_read_and_never_the_account(further: bool) -> None:
    bank = LiveBank(50, further=further, opening=7)
    bank.begin(120, every=1)
    reading, spool = read(bank)
    assert (found(reading, spool), spool.cleared) == (bank.state, 1)
    assert reading.requests == 2 * (3 + 1)


def test_a_deletion_that_moves_a_cursor_hides_no_booked_row() -> None:
    """Where a cursor is a number of rows, the row behind the deleted one is passed over: the balance says so."""
    for further, asked in product((False, True), (2, 3, 4)):
        bank = LiveBank(3, "offset", further)
        bank.begin(12)
        follow(bank, {asked: [("go", 0)]})
        reading, spool = read(bank)
        assert found(reading, spool) == bank.state


def spoils(page: int, change: Callable[[Json], None], answer: Callable[[Json], httpx.Response | None]) -> Any:
    def spoil(asked: int, content: Json) -> httpx.Response | None:
        if asked != page:
            return None
        found = content["data"]
        for connection in (found if "page" in found else found["viewer"]["mainAccount"]).values():
            change(connection)
        return answer(content)

    return spoil


def nothing(_: Json) -> None:
    return None


def set_end(cursor: str | None) -> Callable[[Json], None]:
    return lambda connection: connection["pageInfo"].update({"hasNextPage": True, "endCursor": cursor})


def beside(content: Json, message: str, code: int | None, status: int) -> httpx.Response:
    """An error beside the data."""
    error = {"message": message} | ({} if code is None else {"extensions": {"status": code}})
    return httpx.Response(status, json=content | {"errors": [error]})


FAULTS: dict[str, tuple[Callable[[Json], None], Callable[[Json], httpx.Response | None]]] = {
    "an error beside the data": (nothing, lambda content: beside(content, "Internal", 500, 200)),
    "an error without a code beside the data": (nothing, lambda content: beside(content, "Internal", None, 200)),
    "no account": (nothing, lambda _: httpx.Response(200, json={"data": {"viewer": {"mainAccount": None}, "page": None}})),
    "no data": (nothing, lambda _: httpx.Response(200, json={"data": None})),
    "a web page": (nothing, lambda _: httpx.Response(200, html="<html>maintenance</html>")),
    "half an answer": (nothing, lambda content: httpx.Response(200, content=json.dumps(content).encode()[:-9])),
    "500": (nothing, lambda _: httpx.Response(500, json={"errors": [{"message": "x"}]})),
    "429": (nothing, lambda _: httpx.Response(429)),
    "403": (nothing, lambda content: beside(content, "Forbidden", 403, 200)),
    "no edges": (lambda connection: connection.update(edges=None), nothing),
    "no page info": (lambda connection: connection.update(pageInfo=None), nothing),
    "an end that is not named": (set_end(None), nothing),
    "an empty page that promises more": (lambda connection: (connection.update(edges=[]), set_end("5")(connection))[0], nothing),
    "rows in another order": (lambda connection: connection["edges"].reverse(), nothing),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("further", [False, True])
def test_a_fault_at_any_page_that_lasts_is_named_and_no_part_passes_for_the_whole(fault: str, further: bool) -> None:
    change, answer = FAULTS[fault]
    for page in (1, 2, 3, 4, 5):
        bank = LiveBank(4, further=further)
        bank.begin(12, every=1)
        bank.spoil = lambda asked, content, page=page: (  # type: ignore[misc]
            spoils(asked, change, answer)(asked, content) if asked >= page else None
        )
        try:
            reading, spool = read(bank)
        except SourceError:
            continue
        assert found(reading, spool) == bank.state, page


@pytest.mark.parametrize("status", [200, 500])
def test_a_token_that_is_over_at_any_page_is_renewed_and_the_read_goes_on(status: int) -> None:
    for page in (1, 2, 3, 4):
        bank = LiveBank(4)
        bank.begin(12)
        bank.spoil = spoils(page, nothing, lambda content: beside(content, "Unauthorized", None, status))
        reading, spool = read(bank)
        assert found(reading, spool) == bank.state


@pytest.mark.parametrize("cut", [1, 2])
def test_an_end_that_comes_too_early_is_noticed_by_the_balance(cut: int) -> None:
    bank = LiveBank(4)
    bank.begin(12)
    bank.spoil = spoils(cut + 1, lambda connection: connection["pageInfo"].update(hasNextPage=False), nothing)
    reading, spool = read(bank)
    assert found(reading, spool) == bank.state


def test_a_row_that_is_listed_twice_counts_once_or_ends_the_read() -> None:
    bank = LiveBank(4)
    bank.begin(12)
    bank.spoil = spoils(2, lambda connection: connection["edges"].insert(1, connection["edges"][0]), nothing)
    reading, spool = read(bank)
    assert found(reading, spool) == bank.state

    def repeat(connection: Json) -> None:
        connection["edges"] = connection["edges"] * 3  # longer than the page, and each row differs from the first one

    bank.spoil = lambda asked, content: spoils(asked, repeat, nothing)(asked, content)
    reading, spool = read(bank)
    assert found(reading, spool) == bank.state
