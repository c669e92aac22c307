"""Every fault does what its name says, as often as it was told to, and to nobody else."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from threading import Thread
from typing import Any

import httpx
import pytest
from lxml import etree

from pipelines.sandbox import (
    BadRow,
    BrokenXml,
    CommandFails,
    CommandNeverEnds,
    DropsConnection,
    EmptyAnswer,
    ExternalEntity,
    Fault,
    HtmlInsteadOfJson,
    LegacyRows,
    NextLoop,
    NextToForeignHost,
    OutOfOrderPage,
    PageShift,
    PartialDueToTimeout,
    Refuses,
    RepeatedRow,
    ServerError,
    SlowAnswer,
    TokenExpires,
    TooManyRequests,
    TotalChanges,
    TruncatedBody,
    UnknownCommandState,
    UnknownField,
    World,
    XmlBomb,
)

Visit = Callable[..., Any]
TODAY = date(2026, 11, 20)
BOTH = pytest.mark.parametrize("dialect", ["openapi", "live"])
FIRST = "/4711/transactions"


def page(visitor: Any, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = visitor.kontist(f"{FIRST}?page={number}").json()
    return found


# ---- instead of an answer


def test_too_many_requests_says_when_to_come_back(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), TooManyRequests(times=2, retry_after=3))

    replies = [visitor.kontist("") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [429, 429, 200]
    assert replies[0].headers["Retry-After"] == "3"
    silent = visit(World(today=TODAY), TooManyRequests(retry_after=None)).kontist("")
    assert "Retry-After" not in silent.headers


def test_a_server_error_hits_the_chosen_path_only(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), ServerError(times=1, path_contains="timed-orders", status=502))

    assert visitor.kontist("").status_code == 200
    assert visitor.kontist("/4711/timed-orders").status_code == 502
    assert visitor.kontist("/4711/timed-orders").status_code == 200


def test_a_fault_can_be_for_one_bank_and_come_and_go(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), ServerError(times=None, bank="kontomatik"))

    assert visitor.kontist("").status_code == 200
    assert visitor.http.get("/v1/ais-catalog").status_code == 503
    visitor.bank.faults.clear()
    assert visitor.http.get("/v1/ais-catalog").status_code == 200
    visitor.bank.faults.append(ServerError())
    assert visitor.http.get("/v1/ais-catalog").status_code == 503


def test_html_instead_of_json_is_a_good_status_and_no_data(visit: Visit) -> None:
    reply = visit(World(today=TODAY), HtmlInsteadOfJson()).kontist("")

    assert (reply.status_code, reply.text.startswith("<html>")) == (200, True)


@BOTH
def test_refuses_names_an_exception_and_does_nothing(visit: Visit, exception: Any, dialect: str) -> None:
    fault = Refuses("ServiceMaintenance", status=503, path_contains="default-import", times=1)
    visitor = visit(World(today=TODAY), fault, dialect=dialect)
    session = visitor.session()

    refused = visitor.start(session)
    assert (refused.status_code, exception(refused)) == (503, "ServiceMaintenance")
    assert visitor.start(session).is_success


def test_a_slow_answer_makes_an_impatient_client_give_up(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), SlowAnswer(30, path_contains="transactions", times=1))

    with pytest.raises(httpx.ReadTimeout):
        visitor.kontist(FIRST, timeout=0.05)
    assert visitor.kontist(FIRST).status_code == 200


@BOTH
def test_a_dropped_connection_loses_the_answer_but_not_the_import(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), DropsConnection(path_contains="default-import"), dialect=dialect)
    session = visitor.session()

    with pytest.raises(httpx.RemoteProtocolError):
        visitor.start(session)
    assert exception(visitor.start(session)) == "DefaultImportAlreadyExecuted"


def test_a_connection_dropped_unread_changes_nothing(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), DropsConnection(path_contains="default-import", unread=True))
    session = visitor.session()

    with pytest.raises(httpx.RemoteProtocolError):
        visitor.start(session)
    assert visitor.start(session).is_success


# ---- spoilt bytes


@BOTH
def test_broken_xml_cannot_be_parsed_once(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), BrokenXml(), dialect=dialect)
    accepted = visitor.start(visitor.session())

    with pytest.raises(etree.XMLSyntaxError):
        visitor.whole(accepted)
    assert visitor.sums(visitor.whole(accepted))


@BOTH
def test_a_truncated_body_ends_before_its_announced_length(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), TruncatedBody(path_contains="/command/"), dialect=dialect)
    accepted = visitor.start(visitor.session())

    with pytest.raises(httpx.RemoteProtocolError):
        visitor.poll(accepted)
    assert visitor.poll(accepted).status_code == 200


def test_a_truncated_body_may_look_whole_to_http(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), TruncatedBody(announced=False))

    reply = visitor.kontist(FIRST)
    assert reply.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        reply.json()


@BOTH
def test_an_xml_bomb_is_small_and_uses_its_entities(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), XmlBomb(), dialect=dialect)
    body = visitor.poll(visitor.start(visitor.session(), since="2026-11-19")).content

    assert len(body) < 20_000
    assert b"<!ENTITY e9" in body
    assert b"<name>&e9;" in body
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(body)  # libxml2 counts what it expands and stops


@BOTH
def test_an_external_entity_points_outside(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), ExternalEntity("file:///nowhere"), dialect=dialect)
    root = visitor.first_import()

    assert 'SYSTEM "file:///nowhere"' in etree.tostring(root.getroottree(), encoding="unicode")


# ---- pages


def test_a_token_expires_after_so_many_pages(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), TokenExpires(after_pages=2))
    credentials = {"email": visitor.world.kontist_email, "password": visitor.world.kontist_password}

    def login() -> dict[str, str]:
        return {"Authorization": f"Bearer {visitor.http.post('/api/user/auth-token', json=credentials).json()['token']}"}

    def codes(headers: dict[str, str]) -> list[int]:
        return [visitor.http.get(f"/api/accounts{FIRST}", headers=headers).status_code for _ in range(3)]

    assert codes(login()) == [200, 200, 401]
    assert codes(login()) == [200, 200, 200]


def test_a_page_shift_repeats_the_last_row_of_the_page_before(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), PageShift(after_page=2))

    pages = [page(visitor, number) for number in (1, 2, 3)]

    assert pages[2]["results"][0] == pages[1]["results"][-1]
    assert pages[2]["total"] == pages[1]["total"] + 1
    assert visitor.world.account("4711").totals().booked_count == _booked(TODAY) + 1


def _booked(today: date) -> int:
    return World(today=today).account("4711").totals().booked_count


def test_a_page_shift_the_other_way_hides_a_row(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), PageShift(vanishes=True))
    before = [row["id"] for row in visitor.kontist(FIRST, accept="*/*").json()]
    visitor.bank.faults[0].times = 1

    seen = [row["id"] for row in visitor.pages()]

    assert len(seen) == len(before) - 1
    assert before[50] not in seen


def test_a_repeated_row_is_twice_in_the_pages_and_once_in_the_world(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), RepeatedRow(times=1))

    ids = [row["id"] for row in visitor.pages()]

    assert len(ids) == len(set(ids)) + 1
    assert ids[49] == ids[50]


def test_total_is_another_number_on_every_page(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), TotalChanges())

    assert page(visitor, 2)["total"] == page(visitor, 1)["total"] + 1


def test_next_may_lead_to_another_host(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), NextToForeignHost("http://127.0.0.1:9", times=1))

    assert page(visitor)["next"] == "http://127.0.0.1:9/api/accounts/4711/transactions?page=2"
    assert page(visitor)["next"] == "/api/accounts/4711/transactions?page=2"


def test_next_may_lead_back_to_the_same_page(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), NextLoop(at_page=2, account="4711"))

    assert page(visitor, 1)["next"].endswith("page=2")
    assert page(visitor, 2)["next"].endswith("page=2")
    assert visitor.kontist("/4712/transactions?page=2").json()["next"] is None


def test_a_page_may_be_out_of_order(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), OutOfOrderPage(page=2))
    days = [[row["bookingDate"] for row in page(visitor, number)["results"]] for number in (1, 2)]

    assert all(newer >= older for newer, older in pairwise(days[0]))
    assert all(newer <= older for newer, older in pairwise(days[1]))


def test_legacy_rows_are_bare_unsigned_and_in_snake_case(visit: Visit) -> None:
    world = World(today=TODAY)
    modern = visit(world).pages()
    legacy = visit(world, LegacyRows()).kontist(FIRST).json()

    assert [row["id"] for row in legacy] == [row["id"] for row in modern]
    assert all(row["amount"] >= 0 for row in legacy)
    signed = [-row["amount"] if row["from"] == 4711 else row["amount"] for row in legacy]
    assert signed == [row["amount"] for row in modern]
    assert {"booking_date", "valuta_date", "e2e_id", "pending_from", "original_amount"} <= set(legacy[0])


# ---- imports


@BOTH
def test_a_command_fails_inside_a_good_http_status(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), CommandFails("SessionExpired", times=1), dialect=dialect)

    failed = visitor.poll(visitor.start(visitor.session()))

    root = etree.fromstring(failed.content)
    assert failed.status_code == 200
    if dialect == "live":
        assert root.find("command").get("state") == "error"
        assert exception(failed) == "SessionExpired"
        assert root.find("exception") is None
    else:
        assert (root.tag, root.findtext("status")) == ("CommandResult", "FAILED")
    assert visitor.sums(visitor.first_import())


def test_a_command_may_end_fatally(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), CommandFails("IO", fatal=True), dialect="live")

    assert visitor.first_import().find("command").get("state") == "fatal"


@BOTH
def test_a_command_may_never_end(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), CommandNeverEnds(), dialect=dialect)
    accepted = visitor.start(visitor.session())

    roots = [etree.fromstring(visitor.poll(accepted).content) for _ in range(20)]

    states = {root.findtext("status") or root.find("command").get("state") for root in roots}
    assert states == ({"RUNNING"} if dialect == "openapi" else {"in_progress"})


@BOTH
def test_an_unknown_state_may_last_or_pass(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), UnknownCommandState("paused", polls=2, times=1), dialect=dialect)
    accepted = visitor.start(visitor.session())

    roots = [etree.fromstring(visitor.poll(accepted).content) for _ in range(3)]

    states = [root.findtext("status") or root.find("command").get("state") for root in roots]
    assert states == ["paused", "paused", "COMPLETED" if dialect == "openapi" else "successful"]


# ---- data


@BOTH
def test_an_import_may_be_cut_short(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), PartialDueToTimeout("Konto Start"), dialect=dialect)
    root = visitor.first_import()
    key = visitor.world.account("Konto Start").key

    count = visitor.sums(root)["kontomatik", key][0]
    assert 0 < count < visitor.world.account("Konto Start").totals().booked_count * 0.6
    marked = [own.findtext("name") for own in root.iter("account", "creditCard") if own.get("partialDueToTimeout")]
    assert marked == ([] if dialect == "openapi" else ["Konto Start"])


@BOTH
def test_a_bank_may_suddenly_show_nothing_of_an_account(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), EmptyAnswer("Konto Start"), EmptyAnswer("4711"), dialect=dialect)

    sums = visitor.sums(visitor.first_import())
    assert sums["kontomatik", visitor.world.account("Konto Start").key][0] == 0
    assert sums["kontomatik", visitor.world.account("Konto Wspólne").key][0] > 0
    assert page(visitor) == {"next": None, "total": 0, "results": []}
    assert visitor.pages(4712)


@BOTH
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_unknown_field_is_in_every_row(visit: Visit, dialect: str, wrapped: bool) -> None:
    visitor = visit(World(today=TODAY), UnknownField("mood", "good"), dialect=dialect, wrapped_arrays=wrapped)
    root = visitor.first_import()

    rows = list(root.iter("moneyTransaction", "Transaction")) or list(root.iter("transactions"))
    assert len(rows) > 2000
    assert all([own.text for own in row.findall("mood")] == ["good"] for row in rows)
    assert all(row["mood"] == "good" for row in visitor.pages())


@BOTH
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("what", ["amount", "date"])
def test_a_bad_row_stands_beside_good_ones_at_kontomatik(visit: Visit, dialect: str, wrapped: bool, what: Any) -> None:
    visitor = visit(World(today=TODAY), BadRow(what), dialect=dialect, wrapped_arrays=wrapped)
    root = visitor.first_import()

    rows = list(root.iter("moneyTransaction", "Transaction")) or list(root.iter("transactions"))
    days, amounts = ("transactionOn", "bookedOn", "date"), ("currencyAmount", "amount")
    bad = [row for row in rows if "soon" in [own.text for own in row if own.tag in days + amounts]]
    assert bad == rows[:1]
    assert {own.tag for own in bad[0] if own.text == "soon"} <= set(days if what == "date" else amounts)
    totals = visitor.world.totals("live" if dialect == "live" else "openapi")
    held = sum(own.booked_count + own.pending_count for (bank, _), own in totals.items() if bank == "kontomatik")
    assert len(rows) == held + 1


def test_a_bad_row_stands_beside_good_ones_at_kontist(visit: Visit) -> None:
    world = World(today=TODAY)
    good = visit(world).pages()

    no_amount = visit(world, BadRow(account="4711")).pages()
    no_date = visit(world, BadRow("date")).pages()

    assert no_amount[1:] == no_date[1:] == good
    assert no_amount[0]["amount"] is None
    assert no_date[0]["bookingDate"] == "soon"
    assert no_amount[0]["id"] not in {row["id"] for row in good}


# ---- all of them


def test_faults_add_up(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), TooManyRequests(), ServerError(), UnknownField(), RepeatedRow(times=1))

    assert [visitor.kontist(FIRST).status_code for _ in range(3)] == [429, 503, 200]
    rows = visitor.pages()
    assert len(rows) == len({row["id"] for row in rows}) + 1
    assert all("carbonFootprint" in row for row in rows)


def test_a_fault_counts_right_when_asked_by_many_at_once() -> None:
    fault = Fault(times=500)
    taken: list[bool] = []
    threads = [Thread(target=lambda: taken.extend(fault.take() for _ in range(200))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == 500


def test_a_bank_without_faults_is_as_the_world_is(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), Fault())
    booked = [row["amount"] for row in visitor.pages() if row["valutaDate"]]

    own = visitor.world.account("4711")
    assert own.opening + Decimal(sum(booked)).scaleb(-2) == own.balance
    assert visitor.kontist("").json()[0]["balance"] == own.balance * 100
    assert visitor.world.clock.now().date() - TODAY < timedelta(days=2)
