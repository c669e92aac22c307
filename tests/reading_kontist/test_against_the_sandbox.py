"""The reader against the sandbox bank, over real HTTP. The sandbox shares no code with it."""

from datetime import date
from decimal import Decimal

import pytest

from sources._errors import SourceError, Unavailable, Unexpected
from sources._http import Http, Pace, Patience
from sources.kontist.auth import Login
from sources.kontist.client import KontistClient
from sources.kontist.transactions import read_transactions
from sources.sandbox import (
    BadRow,
    Fault,
    HtmlInsteadOfJson,
    LegacyRows,
    NextLoop,
    NextToForeignHost,
    OutOfOrderPage,
    PageShift,
    RepeatedRow,
    TokenExpires,
    TooManyRequests,
    TotalChanges,
    TruncatedBody,
    UnknownField,
    World,
    running,
)
from tests.reading_kontist.fake_bank import Memory, MemorySpool

TODAY = date(2026, 6, 1)


def client_of(world: World, url: str) -> KontistClient:
    http = Http("kontist", url, patience=Patience((0, 0, 0), lambda _: None))
    return KontistClient(http, Login(world.kontist_email, world.kontist_password), clock=lambda: world.clock.now().timestamp())


def test_every_account_is_read_to_the_cent() -> None:
    world = World(seed=7, today=TODAY)
    with running(world) as bank:
        client = client_of(world, bank.url)
        for account in client.accounts():
            spool = MemorySpool()
            read_transactions(client, account, depth="full", since=None, known=Memory(), spool=spool)
            truth = world.totals()["kontist", world.account(account.source_account_id).key]
            booked = [one["amount_cents"] for one in spool.rows if one["valuta_date"] is not None]
            assert (len(booked), Decimal(sum(booked)).scaleb(-2)) == (truth.booked_count, truth.booked_sum)
            assert len(spool.rows) - len(booked) == truth.pending_count

            before = bank.count("GET", "/transactions")
            known = Memory([one for one in spool.rows if one["valuta_date"] is not None])
            if truth.pending_count == 0:
                read_transactions(client, account, depth="shallow", since=None, known=known, spool=MemorySpool())
                assert bank.count("GET", "/transactions") - before == 1
            assert client.standing_orders(account).rejected == client.timed_orders(account).rejected == ()
        client.invalidate()
        client.http.close()


@pytest.mark.parametrize(
    "fault",
    [
        TooManyRequests(times=2),
        TokenExpires(after_pages=1),
        TruncatedBody(),
        PageShift(),
        PageShift(vanishes=True),
        RepeatedRow(),
        LegacyRows(),
        BadRow(),
        BadRow("date"),
        UnknownField(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_the_account_is_whole_in_spite_of(fault: Fault) -> None:
    world = World(seed=7, today=TODAY)
    with running(world, fault) as bank:
        client = client_of(world, bank.url)
        account = client.accounts()[0]
        spool = MemorySpool()
        read_transactions(client, account, depth="full", since=None, known=Memory(), spool=spool)
        client.http.close()
    truth = world.totals()["kontist", world.account(account.source_account_id).key]
    booked = [one["amount_cents"] for one in spool.rows if one["valuta_date"] is not None]
    assert (len(booked), Decimal(sum(booked)).scaleb(-2)) == (truth.booked_count, truth.booked_sum)
    assert len(spool.rejected) == isinstance(fault, BadRow)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (HtmlInsteadOfJson(path_contains="transactions"), Unexpected),
        (NextLoop(), Unexpected),
        (NextToForeignHost(), Unexpected),
        (OutOfOrderPage(), Unexpected),
        (TotalChanges(), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)
def test_the_account_is_reported_unread_because_of(fault: Fault, error: type[SourceError]) -> None:
    world = World(seed=7, today=TODAY)
    with running(world, fault) as bank:
        client = client_of(world, bank.url)
        account = client.accounts()[0]
        with pytest.raises(error):
            read_transactions(client, account, depth="full", since=None, known=Memory(), spool=MemorySpool())
        client.http.close()


def test_an_account_with_a_booking_a_minute_is_first_read_in_one_go() -> None:
    """At ten requests a minute, the account grows by one row with each minute that the read waits."""
    world, now = World(seed=7, today=TODAY, transactions=1200), [0.0]
    with running(world) as bank:

        def sleep(seconds: float) -> None:
            for _ in range(int((now[0] + seconds) // 60 - now[0] // 60)):
                world.append(own, amount=Decimal("-1.00"), description="booked while you read")
            now[0] += seconds

        http = Http("kontist", bank.url, pace=Pace(10, clock=lambda: now[0], sleep=sleep))
        client = KontistClient(http, Login(world.kontist_email, world.kontist_password))
        account = client.accounts()[0]
        own, spool = world.account(account.source_account_id), MemorySpool()
        rows = len(own.newest_first())
        reading = read_transactions(client, account, depth="full", since=None, known=Memory(), spool=spool)
        http.close()

    assert spool.ids == [one.id for one in own.newest_first()]
    assert len(spool.ids) - rows == now[0] // 60 > 1
    assert spool.cleared == 0
    assert reading.requests < 2 * -(-rows // 50), "with the second look, and pages that were requested out of order"
