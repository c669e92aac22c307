"""Every fault does what its name says, as often as it was asked to, and to nobody else."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import httpx
import pytest
from lxml import etree

from sources.sandbox import (
    CommandFails,
    CommandNeverEnds,
    DropsConnection,
    EmptyAnswer,
    Fault,
    HtmlInsteadOfJson,
    PartialDueToTimeout,
    Refuses,
    RepeatedRow,
    ServerError,
    SlowAnswer,
    TooManyRequests,
    UnknownCommandState,
    UnknownField,
    World,
)

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
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
