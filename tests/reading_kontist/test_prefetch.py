"""Pages that are fetched before their turn: which, how many at once, and that `next` alone decides."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from threading import Barrier, Event
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.commands.progress import Quiet
from pipelines.read.context import RunContext
from pipelines.read.kontist import Reader
from pipelines.read.options import Options
from pipelines.read.windows import KontistPlan
from pipelines.settings import Settings
from sources._errors import SourceError
from sources._http import Http, Pace, Patience
from sources.kontist.auth import Login
from sources.kontist.client import KontistClient
from sources.kontist.prefetch import MOST, MOST_NEAR, NEAR, Prefetch, next_number
from sources.kontist.transactions import read_transactions
from sources.sandbox import TooManyRequests, World, running
from tests.patience import patient
from tests.reading_kontist.fake_bank import (
    ACCOUNT,
    FakeBank,
    Memory,
    MemorySpool,
    a_row_a_day,
    in_any_order,
    known_of,
    page_bodies,
    read,
    row,
)

ADDRESS = "/api/accounts/4711/transactions?page="


def pages_of(bank: FakeBank) -> list[int]:
    return [int(one.url.params.get("page", 1)) for one in bank.asked if one.url.path.endswith("/transactions")]


@pytest.mark.parametrize(
    ("address", "following"),
    [
        ("https://kontist.test/t?page=2", "https://kontist.test/t?page=3"),
        ("https://kontist.test/t?size=5&page=9&x=1", "https://kontist.test/t?size=5&page=10&x=1"),
        ("https://kontist.test/t", ""),
        ("https://kontist.test/t?pages=2", ""),
        ("https://kontist.test/t?page=2&page=3", ""),
        ("https://kontist.test/t?page=x", ""),
        ("https://kontist.test/t?after=912182", ""),
    ],
)
def test_the_next_number_is_guessed_only_where_there_is_one(address: str, following: str) -> None:
    assert next_number(address) == following


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 99), st.sampled_from(["full", "deep", "shallow"]))
def test_fetched_ahead_a_still_account_reads_the_same_at_the_same_cost(size: int, page: int, seed: int, depth: str) -> None:
    world = a_row_a_day(size)
    plain, rows = read(FakeBank(world, page), depth, since="2026-03-10")
    bank = FakeBank(world, page)
    ahead, same = read(bank, depth, since="2026-03-10", prefetch=in_any_order(seed))

    assert (same.ids, ahead.since) == (rows.ids, plain.since)
    assert bank.pages_asked == ahead.requests
    assert plain.requests <= ahead.requests <= plain.requests + (depth == "deep")
    assert all(count == 1 for number, count in Counter(pages_of(bank)).items() if number > 1)


def test_no_more_pages_are_under_way_than_the_setting_says() -> None:
    at_once = 3
    together, under_way, most = Barrier(at_once), 0, 0
    bank = FakeBank(a_row_a_day(40))
    client = bank.client()
    fetch = client.transactions_page

    def watched(address: str) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if 2 <= int(address.partition("page=")[2] or 1) <= at_once + 1:
            together.wait(patient(10))  # only if all of them are asked for at once does this pass
        under_way -= 1
        return fetch(address)

    client.transactions_page = watched  # type: ignore[method-assign]
    spool = MemorySpool()
    read_transactions(
        client,
        ACCOUNT,
        depth="full",
        since=None,
        known=Memory(),
        spool=spool,
        prefetch=partial(Prefetch, most=at_once, clock=count().__next__),
    )

    assert spool.ids == list(range(40, 0, -1))
    assert most == at_once


@pytest.mark.parametrize(("seconds", "most"), [(NEAR / 2, MOST_NEAR), (NEAR * 2, 7)])
def test_a_bank_on_this_machine_is_asked_for_few_pages_at_once(seconds: float, most: int) -> None:
    wanted = Prefetch(FakeBank(a_row_a_day(40)).client().transactions_page, most=7, clock=count(0, seconds).__next__)
    with closing(wanted):
        wanted.page(f"{ADDRESS}1")
        wanted.page(f"{ADDRESS}2", wanted=20)
        assert wanted.requests == 1 + most


def test_one_page_in_flight_is_one_page_after_the_other() -> None:
    bank = FakeBank(a_row_a_day(9))
    spool = read(bank, prefetch=partial(Prefetch, most=1))[1]

    assert spool.ids == list(range(9, 0, -1))
    assert pages_of(bank) == [1, 2, 3, 4, 5, 1]


def test_nothing_is_asked_before_page_one_is_judged() -> None:
    world = a_row_a_day(40)
    for depth, known, expected in (
        ("shallow", known_of(world), [1]),
        ("deep", None, [1, 2, 1]),
        ("full", None, None),
    ):
        bank = FakeBank(world)
        read(bank, depth, since="2026-03-20", known=known, prefetch=Prefetch)
        assert pages_of(bank)[0] == 1
        assert expected is None or pages_of(bank) == expected


def test_a_page_that_no_next_names_is_asked_for_in_vain_and_never_used() -> None:
    world = a_row_a_day(6)
    bodies: dict[str, Any] = {
        "": {"next": f"{ADDRESS}2", "total": 6, "results": world[:2]},
        "2": {"next": f"{ADDRESS}7", "total": 6, "results": world[2:4]},
        "3": {"next": None, "total": 6, "results": [row(77, "2026-03-16"), row(78, "2026-03-15")]},
        "7": {"next": None, "total": 6, "results": world[4:]},
    }
    bank = FakeBank(world)
    bank.instead = lambda one: (
        httpx.Response(200, json=bodies[one.url.params.get("page", "")]) if one.url.path.endswith("/transactions") else None
    )
    reading, spool = read(bank, prefetch=in_any_order(0))

    assert spool.ids == [6, 5, 4, 3, 2, 1]
    assert reading.requests <= 5


@pytest.mark.parametrize("total", [None, 0, -5, 10**9])
def test_a_total_that_is_no_guide_does_no_harm(total: Any) -> None:
    world = a_row_a_day(4)
    first = {"next": f"{ADDRESS}2", "total": total, "results": world[:2]}
    second = {"next": None, "total": total, "results": world[2:]}
    bank = FakeBank(instead=page_bodies(first, second, *[{"next": None, "total": total, "results": []}] * 50))
    if total is None:
        assert read(bank, prefetch=in_any_order(1))[1].ids == [4, 3, 2, 1]
        return
    with pytest.raises(SourceError, match="more transactions"):
        read(bank, prefetch=in_any_order(1))
    assert bank.pages_asked <= 4 * (2 + MOST)


def test_an_error_of_a_page_that_is_not_needed_is_nobodys() -> None:
    bank = FakeBank(a_row_a_day(12))
    bank.instead = lambda one: httpx.Response(400) if one.url.params.get("page") == "4" else None
    with pytest.raises(SourceError, match="400"):
        read(bank, prefetch=in_any_order(2))

    wanted = Prefetch(bank.client().transactions_page)
    try:
        assert wanted.page(f"{ADDRESS}2", wanted=3).next is not None
    finally:
        wanted.close()


def test_what_was_not_yet_sent_is_not_sent_after_the_end() -> None:
    begun, go_on = Event(), Event()

    def slow(address: str) -> Any:
        begun.set()
        go_on.wait(patient(10))
        return address

    ahead = Prefetch(slow, most=2)
    ahead._asked = {address: ahead._ask(address) for address in "abcdef"}
    begun.wait(patient(10))
    go_on.set()
    ahead.close()

    assert 1 <= ahead.requests <= 6
    assert ahead._pool is None


def test_threads_that_are_asked_to_wait_at_once_wait_once() -> None:
    together, slept, outcome = Barrier(4), [], []

    def answer(_: httpx.Request) -> httpx.Response:
        if len(outcome) < 4:
            outcome.append(1)
            together.wait(patient(10))
            return httpx.Response(429, headers={"Retry-After": "7"})
        return httpx.Response(200, json=[])

    patience = Patience((1.0, 4.0), slept.append)
    http = Http("kontist", "https://kontist.test", patience=patience, transport=httpx.MockTransport(answer))
    with ThreadPoolExecutor(4) as pool:
        found = [future.result().status_code for future in [pool.submit(http.request, "GET", "/x") for _ in range(4)]]

    assert found == [200] * 4
    assert slept == [7.0]


def test_nobody_asks_while_one_is_asked_to_wait() -> None:
    resting, go_on, asked = Event(), Event(), []

    def rest(_: float) -> None:
        resting.set()
        go_on.wait(patient(10))

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(429 if len(asked) == 1 else 200, headers={"Retry-After": "7"}, json=[])

    http = Http("kontist", "https://kontist.test", patience=Patience((1.0,), rest), transport=httpx.MockTransport(answer))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(http.request, "GET", "/first")
        assert resting.wait(patient(10))
        second = pool.submit(http.request, "GET", "/second")
        assert not second.done()
        assert asked == ["/first"]
        go_on.set()
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_a_bank_that_asks_to_wait_loses_no_page() -> None:
    world, slept = World(transactions=1200), []
    outcome = TooManyRequests(times=3, retry_after=7, path_contains="/transactions")
    with running(world, outcome) as bank:
        http = Http("kontist", bank.url, patience=Patience((1.0, 4.0, 15.0), slept.append))
        client = KontistClient(http, Login(world.kontist_email, world.kontist_password))
        spool = MemorySpool()
        account = client.accounts()[0]
        read_transactions(client, account, depth="full", since=None, known=Memory(), spool=spool)
        http.close()

    assert len(spool.rows) == world.totals()["kontist", world.account(account.source_account_id).key].booked_count
    assert slept[0] == 7.0


def test_threads_keep_to_our_own_limit_together() -> None:
    now, slept, outcome = 0.0, list[float](), list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    world = World(transactions=1200)
    with running(world) as bank:
        pace = Pace(10, clock=lambda: now, sleep=sleep, waiting=outcome.append)
        http = Http("kontist", bank.url, pace=pace)
        client = KontistClient(http, Login(world.kontist_email, world.kontist_password))
        account = client.accounts()[0]
        read_transactions(client, account, depth="full", since=None, known=Memory(), spool=MemorySpool())
        asked = http.requests
        http.close()

    assert asked == bank.count(path_contains="/api/")
    assert len(slept) == (asked - 1) // 10
    assert len(outcome) == len(slept)
    assert outcome == sorted(outcome, reverse=True), "the minutes to come, from what the pages say"
    assert abs(outcome[0] - sum(slept)) <= 60, (outcome, slept)


def test_a_wait_for_our_own_limit_is_reported_in_minutes_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    http = Http("kontist", "http://127.0.0.1:1", pace=Pace(2, clock=lambda: now[0], sleep=lambda seconds: None))
    history: Any = None
    reader = Reader(
        RunContext(Settings(), Options(), history, None, Quiet(), lambda: datetime(2026, 3, 20, 12, tzinfo=UTC)),
        KontistPlan(cursors={}, held={}, today=date(2026, 3, 20), lookback_days=3),
        KontistClient(http, Login("a@example.com", "x")),
    )
    http.pace.waiting = reader._show_wait
    reader._show_rows(12, 600, 2000)
    http.pace.to_come = 5
    for _ in range(4):
        http.pace.wait()
    http.close()
    limit = "we send 2 requests a minute at most (sources.kontist.requests_per_minute)"
    assert capsys.readouterr().err == f"Kontist: waiting, {limit}; about 3 minutes to come, 12 pages and 600 rows read.\n"


def test_an_answer_takes_its_time_once_for_all_pages_in_flight() -> None:
    world = World(transactions=1111)
    took = {}
    for most in (0, MOST):
        with running(world, latency=0.05) as bank:
            http = Http("kontist", bank.url)
            client = KontistClient(http, Login(world.kontist_email, world.kontist_password))
            account = client.accounts()[0]
            began = time.perf_counter()
            read_transactions(
                client,
                account,
                depth="full",
                since=None,
                known=Memory(),
                spool=MemorySpool(),
                prefetch=partial(Prefetch, most=most),
            )
            took[most] = time.perf_counter() - began
            http.close()

    assert took[MOST] < took[0] / 2
