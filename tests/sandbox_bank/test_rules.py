"""What the banks enforce, in both of Kontomatik's dialects."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from lxml import etree

from sources.sandbox import CommandFails, World, running

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
pytestmark = pytest.mark.parametrize("dialect", ["openapi", "live"])


def test_one_import_a_session(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    session = visitor.session()

    assert visitor.start(session).is_success
    again = visitor.start(session)
    assert (again.status_code, exception(again)) == (400, "DefaultImportAlreadyExecuted")


def test_no_second_import_even_if_the_first_failed(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), CommandFails(times=1), dialect=dialect)
    session = visitor.session()
    visitor.poll(visitor.start(session))

    assert exception(visitor.start(session)) == "DefaultImportAlreadyExecuted"


def test_a_session_needs_its_id_and_signature_and_lives_for_minutes(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    session = visitor.session()

    unknown = visitor.start(session | {"sessionId": "1"})
    assert (unknown.status_code, exception(unknown)) == (404, "InvalidSessionId")
    assert exception(visitor.start(session | {"sessionIdSignature": "x"})) == "InvalidSessionIdSignature"
    visitor.world.clock.advance(timedelta(minutes=11))
    assert exception(visitor.start(session)) == "InvalidSessionId"


def test_four_imports_in_any_24_hours_over_all_tokens(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    visitor.first_import()
    first = visitor.token
    visitor.first_import()
    second = visitor.token
    visitor.world.clock.advance(timedelta(hours=12))
    visitor.reused_import(first)
    visitor.reused_import(second)

    for token in (first, second):
        refused = visitor.reuse(token)
        assert (refused.status_code, exception(refused)) == (429, "MultipleAccessLimitExceeded")
    assert exception(visitor.start(visitor.session())) == "MultipleAccessLimitExceeded"
    visitor.world.clock.advance(timedelta(hours=12, seconds=1))
    assert visitor.reuse(first).is_success
    assert visitor.reuse(second).is_success
    assert exception(visitor.reuse(first)) == "MultipleAccessLimitExceeded"


def test_a_shared_account_is_counted_for_both_its_owners(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect, imports_per_day=1)
    visitor.first_import()

    assert exception(visitor.start(visitor.session(login="test2"))) == "MultipleAccessLimitExceeded"


def test_the_quota_outlives_a_restart_of_the_bank(visit: Visit, exception: Any, dialect: str) -> None:
    world = World(today=TODAY)
    visit(world, dialect=dialect, imports_per_day=1).first_import()

    later = visit(world, dialect=dialect, imports_per_day=1)
    assert exception(later.start(later.session())) == "MultipleAccessLimitExceeded"


def test_the_ninth_command_at_once_is_refused(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect, imports_per_day=100, command_polls=2)
    started = [visitor.start(visitor.session()) for _ in range(8)]

    ninth = visitor.session()
    assert exception(visitor.start(ninth)) == "JobsQuotaExceeded"
    visitor.poll(started[0])
    assert exception(visitor.start(ninth)) == "JobsQuotaExceeded"
    visitor.poll(started[0])
    assert visitor.start(ninth).is_success
    assert len({reply.content for reply in started}) == 8


def test_a_command_takes_as_many_questions_as_it_was_asked_to(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect, command_polls=3)
    accepted = visitor.start(visitor.session())

    states = []
    for _ in range(4):
        root = etree.fromstring(visitor.poll(accepted).content)
        states.append(root.findtext("status") or root.find("command").get("state"))
    running_, done = ("RUNNING", "COMPLETED") if dialect == "openapi" else ("in_progress", "successful")
    assert states == [running_, running_, done, done]


def test_a_reused_consent_shows_ninety_days_and_the_first_session_everything(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    today = visitor.world.today

    first = visitor.days(visitor.first_import())
    reused = visitor.days(visitor.reused_import(visitor.token))
    asked_for_more = visitor.days(visitor.reused_import(visitor.token, since="2024-10-01"))

    assert min(first) <= date(2024, 9, 2)
    assert min(reused) == today - timedelta(days=90)
    assert asked_for_more == reused


def test_a_reused_consent_honours_since(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    visitor.first_import()
    since = visitor.world.today - timedelta(days=10)

    assert min(visitor.days(visitor.reused_import(visitor.token, since=str(since)))) == since


def test_a_revoked_consent_is_gone(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    visitor.first_import()

    deleted = visitor.delete(visitor.token)

    assert deleted.status_code == 200
    assert (deleted.content == b"") == (dialect == "openapi")
    assert exception(visitor.reuse(visitor.token)) == "InvalidMultipleAccessId"
    assert exception(visitor.delete(visitor.token)) == "InvalidMultipleAccessId"


def test_a_consent_ends_after_180_days_and_outlives_the_process(visit: Visit, exception: Any, dialect: str) -> None:
    one = visit(World(today=TODAY), dialect=dialect)
    one.first_import()
    other = visit(World(today=TODAY), dialect=dialect)

    other.world.clock.advance(timedelta(days=179))
    assert other.reuse(one.token).is_success
    other.world.clock.advance(timedelta(days=2))
    assert exception(other.reuse(one.token)) == "InvalidMultipleAccessId"
    assert exception(visit(World(seed=8, today=TODAY), dialect=dialect).reuse(one.token)) == "InvalidMultipleAccessId"
    assert exception(other.reuse("nonsense")) == "InvalidMultipleAccessId"


@pytest.mark.parametrize("since", ["yesterday", "2026-1-2", "20260102", "2026-02-30", "2999-01-01"])
def test_a_since_that_is_no_past_day_is_refused(visit: Visit, exception: Any, dialect: str, since: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    refused = visitor.start(visitor.session(), since=since)
    assert (refused.status_code, exception(refused)) == (400, "InvalidSince")


def test_commands_are_forgotten_after_a_day(visit: Visit, exception: Any, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    accepted = visitor.start(visitor.session())
    visitor.poll(accepted)

    visitor.world.clock.advance(timedelta(hours=25))
    visitor.start(visitor.session())
    assert exception(visitor.poll(accepted)) == "InvalidCommandId"


def test_unknown_paths_are_not_found(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    assert visitor.http.get("/v1/nothing").status_code == 404
    assert visitor.http.get("/elsewhere").status_code == 404
    assert visitor.http.get("/v1/command/1.xml").status_code == 404


def test_the_bank_stops_with_its_block(dialect: str) -> None:
    with running(World(today=TODAY), dialect=dialect) as bank:
        url = bank.url

    assert url.startswith("http://127.0.0.1:")
    assert bank.connections == {}
