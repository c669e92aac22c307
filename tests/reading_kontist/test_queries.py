"""The reader of Kontist's live service against the sandbox bank, over real HTTP. The sandbox shares no code with it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unavailable, Unexpected
from sources._http import Http, Patience
from sources._protocols import Depth, Reading
from sources.kontist.accounts import Account
from sources.kontist.auth import Application, Login
from sources.kontist.cursor_reading import Wanted, read_by_cursor
from sources.kontist.oauth import OAuthTokens
from sources.kontist.order_lists import KINDS, TRANSFER_PAGES, read_order_lists
from sources.kontist.query_client import QueryClient
from sources.sandbox import (
    CursorLoop,
    DropsConnection,
    Fault,
    FractionOfACent,
    HtmlInsteadOfJson,
    LostEnd,
    QueryError,
    ReversedPage,
    SandboxBank,
    ServerError,
    TooManyRequests,
    TruncatedBody,
    World,
    running,
)
from sources.sandbox.banks.graphql import public_id
from tests.reading_kontist.fake_bank import Memory, MemorySpool

TODAY = date(2026, 6, 1)


@dataclass
class Reader:
    """A client of the live service with a good login, and what it slept and kept."""

    bank: SandboxBank
    client: QueryClient
    kept: list[str]

    @property
    def world(self) -> World:
        return self.bank.world

    def read(
        self, number: str = "4711", depth: Depth = "full", since: date | None = None, known: Memory | None = None
    ) -> tuple[Reading, MemorySpool]:
        spool = MemorySpool()
        reading = read_by_cursor(self.client, self.account(number), Wanted(depth, since, known or Memory()), spool)
        return reading, spool

    def account(self, number: str = "4711") -> Account:
        iban = self.world.account(number).iban
        return next(one for one in self.client.accounts() if one.row["iban"] == iban)

    def queries(self) -> int:
        return self.bank.count("POST", "/graphql")


def reader_of(bank: SandboxBank, *, refresh: str | None = None, secret: str | None = None) -> Reader:
    world, kept = bank.world, list[str]()
    application = Application(world.kontist_client_id, secret or world.kontist_client_secret)
    http = Http("kontist", bank.url, patience=Patience((0, 0), lambda _: None))
    CLIENTS.append(http)
    login = Login(refresh_token=refresh or bank.kontist.oauth.pair()[1], application=application)
    tokens = OAuthTokens(http, login, clock=lambda: world.clock.now().timestamp(), on_new_refresh_token=kept.append)
    return Reader(bank, QueryClient(http, tokens), kept)


CLIENTS: list[Http] = []


@pytest.fixture
def opened() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda world, *faults: reader_of(stack.enter_context(running(world, *faults)))
        while CLIENTS:
            CLIENTS.pop().close()


def shown(spool: MemorySpool) -> list[tuple[int, bool]]:
    return [(row["amount_cents"], row["valuta_date"] is not None) for row in spool.rows]


def truth(world: World, number: str = "4711", since: date = date.min) -> list[tuple[int, bool]]:
    rows = world.account(number).newest_first()
    return [(row.cents, row.booked_on is not None) for row in rows if (row.booked_on or row.day) >= since]


def test_every_account_is_read_to_the_cent_and_nothing_new_costs_one_request(opened: Any) -> None:
    reader = opened(World(seed=7, today=TODAY))
    for number in ("4711", "4712"):
        reading, spool = reader.read(number)
        assert (reading.since, reading.unknown_fields) == (None, frozenset())
        assert shown(spool) == truth(reader.world, number)
        booked = [one for one in spool.rows if one["valuta_date"] is not None]
        assert Decimal(sum(one["amount_cents"] for one in booked)).scaleb(-2) == reader.world.account(number).totals().booked_sum
        assert all(one["booking_type"] is None for one in spool.rows if one["valuta_date"] is None)
    before = reader.queries()
    reading, _ = reader.read("4712", "shallow", known=Memory(spool.rows))
    assert (reading.requests, reader.queries() - before) == (1, 2), "the accounts, and one page"


@pytest.mark.parametrize("hides", [False, True], ids=["a filter passes reservations", "a filter hides reservations"])
def test_a_deep_read_has_every_row_since_its_day_whatever_the_filter_does_with_reservations(opened: Any, hides: bool) -> None:
    reader = opened(World(today=TODAY, transactions=400))
    reader.world.append("4711", amount="-1.00", pending=True)
    known = Memory(reader.read()[1].rows)
    reader.bank.kontist.graphql.filter_hides_pending = hides
    since = TODAY - timedelta(days=200)
    reading, spool = reader.read(depth="deep", since=since, known=known)
    assert (reading.since, reading.requests) == (since, (3 if hides else 2) + 1)
    found = [pair for pair, row in zip(shown(spool), spool.rows, strict=True) if row["window_on"] >= since]
    assert found == truth(reader.world, since=since)
    assert (len(spool.rows) > len(found)) is hides, "the server's filter leaves out what is older"


def test_both_lists_of_orders_cost_one_request(opened: Any) -> None:
    reader = opened(World(today=TODAY))
    main, further = reader.account("4711"), reader.account("4712")
    before = reader.queries()
    standing, timed = reader.client.standing_orders(main), reader.client.timed_orders(main)
    assert reader.queries() - before == 1
    assert not reader.client.standing_orders(further).rows.num_rows
    assert {row["status"] for row in standing.rows.to_pylist()} == {"ACTIVE", "CANCELED"}
    assert all(row["next_occurrence"] and row["name"] and row["amount_cents"] > 0 for row in standing.rows.to_pylist())
    assert all(row["date"] and row["recipient_iban"] and row["amount_cents"] > 0 for row in timed.rows.to_pylist())
    assert (standing.rejected, timed.rejected, timed.unknown_fields) == ((), (), frozenset())


@pytest.mark.parametrize("kind", ["SEPA_TRANSFER", "INSTANT_CREDIT_TRANSFER"])
def test_transfers_under_way_are_timed_orders_and_cost_no_further_request(opened: Any, kind: str) -> None:
    reader = opened(World(today=TODAY))
    main = reader.account("4711")
    planned = reader.client.timed_orders(main).rows.num_rows
    for status in ("BOOKED", "CONFIRMED", "FAILED", "CANCELED", "EXECUTED", "AUTHORIZATION_REQUIRED"):
        reader.world.transfer("4711", amount="12.34", status=status, kind=kind)
    before = reader.queries()
    reader.client.standing_orders(main)
    rows = reader.client.timed_orders(main).rows.to_pylist()[planned:]
    assert reader.queries() - before == 1
    assert {(row["status"], row["type"], row["amount_cents"]) for row in rows} == {
        ("CONFIRMED", kind, 1234),
        ("AUTHORIZATION_REQUIRED", kind, 1234),
    }
    assert all(row["order_id"].startswith("transfer:") and row["recipient_iban"] for row in rows)


def test_old_transfers_are_not_read_and_new_ones_only_as_far_as_one_is_under_way(opened: Any) -> None:
    reader = opened(World(today=TODAY))
    main = reader.account("4711")
    planned = reader.client.timed_orders(main).rows.num_rows
    oldest = reader.world.transfer("4711", amount="1.00", status="CONFIRMED")
    for _ in range(120):
        reader.world.transfer("4711", amount="1.00", status="BOOKED")
    assert asked_orders(reader, main) == (1, planned)
    for _ in range(51):
        reader.world.transfer("4711", amount="1.00", status="CONFIRMED")
    assert asked_orders(reader, main) == (3, planned + 51)
    oldest["status"] = "BOOKED"
    for _ in range(400):
        reader.world.transfer("4711", amount="1.00", status="CREATED")
    assert asked_orders(reader, main) == (TRANSFER_PAGES, planned + 50 * TRANSFER_PAGES)


def asked_orders(reader: Reader, main: Account) -> tuple[int, int]:
    """The requests that both lists cost, and the number of timed orders."""
    before = reader.queries()
    reader.client.standing_orders(main)
    rows = reader.client.timed_orders(main).rows
    return reader.queries() - before, rows.num_rows


def test_a_server_without_one_kind_of_transfers_lists_the_others(opened: Any) -> None:
    reader = opened(World(today=TODAY))
    reader.bank.kontist.graphql.lacks = {"TransferType.INSTANT_CREDIT_TRANSFER", "Transfer.uuid"}
    reader.world.transfer("4711", amount="5.00")
    rows = reader.client.timed_orders(reader.account("4711")).rows.to_pylist()
    assert [row["amount_cents"] for row in rows if row["order_id"].startswith("transfer:")] == [500]


TRANSFER = {"id": "1", "uuid": "u-1", "recipient": "A", "iban": "DE1", "amount": 100, "status": "CONFIRMED"}


def test_a_transfer_that_stands_in_several_lists_counts_once() -> None:
    pages = {name: ([TRANSFER | {"id": name}], None) for name in KINDS}
    pages["timed"] = ([TRANSFER | {"uuid": "u-2"}], None)
    pages["standing"] = ([], None)
    lists = read_order_lists(KINDS, lambda asked: {name: pages[name] for name in asked})
    assert [one["id"] for one in lists.timed] == ["1", "transfer:u-1"]
    pages["timed"] = pages["transfers"]
    lists = read_order_lists(KINDS, lambda asked: {name: pages[name] for name in asked})
    assert [one["id"] for one in lists.timed] == ["transfers"], "the order that it carries out"


@pytest.mark.parametrize(
    ("odd", "under_way"),
    [
        ({"status": "Booked"}, 0),
        ({"status": None}, 0),
        ({"status": "ANOTHER"}, 1),
        ({"status": ["BOOKED"]}, 1),
        ({"uuid": ["u-1"]}, 1),
    ],
)
def test_an_odd_transfer_breaks_no_list_and_a_final_status_counts_in_any_case(odd: dict[str, Any], under_way: int) -> None:
    pages: dict[str, Any] = {name: ([], None) for name in KINDS} | {"transfers": ([TRANSFER | odd], None)}
    assert len(read_order_lists(KINDS, lambda asked: {name: pages[name] for name in asked}).timed) == under_way


@pytest.mark.parametrize("name", KINDS)
def test_a_list_of_orders_whose_pages_go_in_a_circle_is_left(name: str) -> None:
    def ask(asked: dict[str, str | None]) -> dict[str, Any]:
        return {one: ([TRANSFER], "again" if one == name else None) for one in asked}

    with pytest.raises(Unexpected, match="circle"):
        read_order_lists(KINDS, ask)


def test_fields_that_the_server_lacks_are_left_out_and_asked_for_once(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=100))
    lacks = {"Transaction.splits", "Transaction.fees", "Transaction.merchantCountryCode", "Transaction.personalNote"}
    reader.bank.kontist.graphql.lacks = lacks | {"Account.bic", "Query.getSubAccounts"}
    _, spool = reader.read()
    assert shown(spool) == truth(reader.world)
    before = reader.queries()
    reader.read()
    assert reader.queries() - before == 4, "the accounts, two pages, and the first one again"
    assert len(reader.client.fields.refused) == 6


def test_a_field_that_no_reader_can_do_without_ends_the_read(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=10))
    reader.bank.kontist.graphql.lacks = {"Transaction.valutaDate"}
    with pytest.raises(Unexpected, match="does not know a field that a reader needs"):
        reader.read()


@pytest.mark.parametrize(
    ("fault", "raises"),
    [
        (QueryError(keeps_data=True), Unavailable),
        (QueryError(keeps_data=True, code=0), Unexpected),
        (QueryError(code=403, status=500), Rejected),
        (QueryError(code=429), Unavailable),
        (QueryError("nobody knows", code=0, status=500), Unavailable),
        (CursorLoop(page=2), Unexpected),
        (LostEnd(), Unexpected),
        (ReversedPage(), Unexpected),
        (HtmlInsteadOfJson(path_contains="/graphql"), Unexpected),
        (TruncatedBody(announced=False, path_contains="/graphql"), Unexpected),
        (TruncatedBody(path_contains="/graphql"), Unavailable),
        (ServerError(status=500, path_contains="/graphql"), Unavailable),
        (TooManyRequests(path_contains="/graphql"), Unavailable),
        (DropsConnection(path_contains="/graphql"), Unavailable),
    ],
    ids=lambda one: getattr(one, "__name__", None) or f"{type(one).__name__}-{getattr(one, 'code', '')}",
)
def test_nothing_partial_is_taken_for_the_whole(opened: Any, fault: Fault, raises: type[SourceError]) -> None:
    """A fault that lasts ends the read; one that passes costs nothing where the bank is merely away."""
    reader = opened(World(today=TODAY, transactions=150))
    account, fault.times = reader.account(), None
    reader.bank.faults.append(fault)
    with pytest.raises(raises):
        read_by_cursor(reader.client, account, Wanted("full", None, Memory()), MemorySpool())
    fault.times = 1
    if raises is Unavailable:
        assert shown(reader.read()[1]) == truth(reader.world)


@pytest.mark.parametrize(
    "fault", [ServerError(), ServerError(status=500), QueryError(), QueryError(code=429), DropsConnection()], ids=repr
)
def test_a_bank_that_is_away_is_asked_as_often_as_patience_allows(opened: Any, fault: Fault) -> None:
    reader, fault.times = opened(World(today=TODAY, transactions=10)), None
    reader.client.tokens.authorization()
    reader.bank.faults.append(fault)
    with pytest.raises(Unavailable):
        reader.account()
    assert reader.queries() == 3


def test_an_amount_that_is_no_whole_number_costs_its_row_only(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=30), FractionOfACent(times=None))
    _, spool = reader.read()
    assert [reason for reason, *_ in spool.rejected] == ["amount is not a whole number of cents"]
    assert shown(spool) == truth(reader.world)[1:]


def test_an_account_that_changes_while_it_is_read_is_read_a_second_time(opened: Any) -> None:
    """The balance contradicts what was read first."""
    reader = opened(World(today=TODAY, transactions=300))

    class Meanwhile(Fault):
        def before(self, call: Any, bank: SandboxBank, /) -> None:
            if bank.count("POST", "/graphql") == 4 and self.take():
                bank.world.delete(bank.world.account("4711").newest_first()[-1])
                bank.world.append("4711", amount="-7.00")

    account = reader.account()
    reader.bank.faults.append(Meanwhile(times=1))
    spool = MemorySpool()
    reading = read_by_cursor(reader.client, account, Wanted("full", None, Memory()), spool)
    assert shown(spool) == truth(reader.world)
    assert reading.account is not None
    assert reading.account["balance_cents"] == reader.world.account("4711").balance_cents


def test_a_token_that_is_over_is_renewed_once_and_a_login_that_is_over_is_said(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=10))
    reader.account()
    reader.bank.kontist.tokens.end_all("auth")
    assert shown(reader.read()[1]) == truth(reader.world)
    assert reader.bank.count("POST", "/oauth/token") == 2
    reader.bank.kontist.tokens.end_all("auth")
    reader.bank.kontist.tokens.end_all("refresh")
    with pytest.raises(ConsentGone, match="connect kontist"):
        reader.account()
    assert reader.bank.count("POST", "/oauth/token") == 3


def test_a_rotated_refresh_token_is_kept_before_it_is_used(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=10))
    reader.bank.kontist.oauth.rotates = True
    reader.account()
    reader.bank.kontist.tokens.end_all("auth")
    reader.account()
    assert len(set(reader.kept)) == 2


def test_what_is_wrong_with_a_login_is_named(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=10))
    oauth = reader.bank.kontist.oauth
    with pytest.raises(Rejected, match="not confirmed on the phone"):
        reader_of(reader.bank, refresh=oauth.pair(confirmed="no")[1]).account()
    without = reader_of(reader.bank, refresh=oauth.pair("accounts transactions offline")[1])
    with pytest.raises(Rejected, match="lacks the scope `transfers`"):
        without.client.standing_orders(without.account())
    reader.bank.kontist.graphql.account_is_open = False
    with pytest.raises(Rejected, match="no open account"):
        reader.account()
    with pytest.raises(Misconfigured, match=r"client_secret"):
        reader_of(reader.bank, secret="wrong").account()


def test_an_account_says_what_rest_does_not(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=1))
    main, further = reader.account("4711").row, reader.account("4712").row
    assert main["available_balance_cents"] == reader.world.account("4711").available_cents
    assert (main["bic"], main["name"]) == ("KNTODE21XXX", reader.world.account("4711").name)
    assert {"bic", "available_balance_cents"} & further.keys() == set(), "an empty later column is no part of a version"


FURTHER = {"publicId": "sub", "iban": "DE57999900000000004243", "name": "Further", "balance": 1.0, "status": "ACTIVE"}


def test_a_further_account_under_a_number_is_never_taken_for_the_main_account(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=20))
    own = reader.account("4712").source_account_id
    asked: list[Any] = []
    reader.bank.kontist.graphql._sub_accounts = lambda _: [FURTHER | {"publicId": "4711"}]
    reader.bank.kontist.graphql._by_public_id = lambda _, publicId, **more: (  # noqa: N803 (the service's name)
        asked.append(publicId) or {"edges": [], "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}}
    )
    main, further = reader.client.accounts()
    assert (main.source_account_id, further.source_account_id != "4711", own.isdecimal()) == ("4711", True, False)
    assert not reader.client.transactions_page(further).rows.ids
    assert asked == ["4711"]
    assert not reader.client.standing_orders(further).rows.num_rows


def test_a_further_account_that_cannot_be_asked_for_costs_itself_only(opened: Any) -> None:
    reader = opened(World(today=TODAY, transactions=20))
    main = reader.account("4711").row["iban"]
    copy = {"publicId": public_id(reader.world.account("4711")), "iban": main}
    reader.bank.kontist.graphql._sub_accounts = lambda _: [
        FURTHER | copy,
        FURTHER | {"publicId": None, "iban": None},
        FURTHER | {"publicId": None},
    ]
    accounts = reader.client.accounts()
    assert [one.row["iban"] for one in accounts] == [main, FURTHER["iban"]], "the main account once, none that is not open"
    assert reader.client.transactions_page(accounts[0]).rows.ids
    with pytest.raises(Unexpected, match="without a public id"):
        reader.client.transactions_page(accounts[1])
