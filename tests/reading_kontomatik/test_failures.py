"""Every failure that Kontomatik reports, and every other way not to answer: what to do next."""

from typing import Any

import httpx
import pytest

from sources._errors import (
    ConsentGone,
    Misconfigured,
    QuotaSpent,
    Rejected,
    SessionGone,
    SourceError,
    Unavailable,
    Unexpected,
    Unreached,
)
from sources.kontomatik.errors import MEANINGS, CommandUnfinished, MayBeAccepted, by_name
from sources.kontomatik.results import Session
from tests.reading_kontomatik.fake_bank import IBAN, KEY, Answer, Kept, bank, exception, live_command, read

SESSION = Session("900100200", "5e0c-signature")
KINDS: dict[str, type[SourceError]] = {
    "InvalidParameter": Misconfigured,
    "InvalidArgument": Misconfigured,
    "InvalidSince": Misconfigured,
    "InvalidTarget": Misconfigured,
    "InvalidIban": Misconfigured,
    "InvalidOwnerExternalId": Misconfigured,
    "InvalidCommandId": SessionGone,
    "InvalidSessionId": SessionGone,
    "InvalidSessionIdSignature": SessionGone,
    "NotSignedIn": SessionGone,
    "SessionExpired": SessionGone,
    "AlreadySignedIn": SessionGone,
    "DefaultImportAlreadyExecuted": SessionGone,
    "CommandNotAvailable": Rejected,
    "InvalidMultipleAccessId": ConsentGone,
    "MultipleAccessLimitExceeded": QuotaSpent,
    "JobsQuotaExceeded": Unavailable,
    "ConcurrentSessionsLimitExceed": Unavailable,
    "ConcurrentSessionsLimitExceeded": Unavailable,
    "ServiceTemporarilyUnavailable": Unavailable,
    "ServiceMaintenance": Unavailable,
    "IO": Unavailable,
    "NoDataToCalculateScore": Unexpected,
    "SomethingNew": Unexpected,
}


def refused(name: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, text=f'<reply status="{status}">{exception(name)}</reply>')


def raised(*answers: Answer, dialect: str = "live") -> SourceError:
    """What starting an import raises."""
    with pytest.raises(SourceError) as caught:
        bank(*answers).client(dialect).start_import(SESSION, None)
    for secret in (KEY, IBAN, SESSION.session_id, SESSION.signature):
        assert secret not in str(caught.value)
    return caught.value


def test_the_table_holds_every_name_of_the_list() -> None:
    assert set(MEANINGS) == set(KINDS) - {"SomethingNew"}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
@pytest.mark.parametrize("status", [400, 200, 503])
def test_a_refused_request_is_sorted_by_the_exceptions_name_and_never_by_the_status(
    name: str, kind: type[SourceError], status: int
) -> None:
    error = raised(refused(name, status))
    assert type(error) is kind
    assert error.code == name
    assert error.next_step


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_failed_command_is_sorted_by_the_exceptions_name(name: str, kind: type[SourceError]) -> None:
    fake = bank(live_command("error", inside=exception(name)))
    with pytest.raises(SourceError) as caught:
        fake.client("live").wait("700", Kept)
    assert type(caught.value) is kind
    assert IBAN not in str(caught.value)
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "inside",
    [
        '<exception name="SessionExpired"/>',
        "<exception><name>SessionExpired</name></exception>",
        "<exception>SessionExpired</exception>",
        "<exception> SessionExpiredException </exception>",
        '<exception name="com.kontomatik.SessionExpiredException"/>',
    ],
)
def test_a_name_is_found_in_any_form(inside: str) -> None:
    for document in (
        f"<reply>{inside}</reply>",
        live_command("error", inside=inside),
        live_command("successful", inside=inside),
        f"<CommandResult><id>1</id><status>FAILED</status>{inside}</CommandResult>",
    ):
        reply = read(document)
        assert reply.state == "failed"
        assert isinstance(reply.exception, SessionGone)
        assert reply.result is None


def test_an_exception_in_json_is_found_too() -> None:
    for content in ({"params": {"exception": "InvalidTarget"}}, {"exception": {"name": "InvalidTarget"}}):
        assert isinstance(raised(httpx.Response(400, json=content)), Misconfigured)


def test_a_name_that_is_none_is_not_repeated() -> None:
    error = by_name(f"no account {IBAN}")
    assert isinstance(error, Unexpected)
    assert IBAN not in str(error)
    assert error.code == ""


def test_a_fatal_command_is_for_a_person_and_names_the_command() -> None:
    for inside in ("", exception("IO")):
        reply = read(live_command("fatal", inside=inside))
        assert (reply.state, type(reply.exception)) == ("failed", Unexpected)
        assert "700" in str(reply.exception)
        assert "support" in str(reply.exception)


def test_a_failed_command_without_a_reason_may_go_better_later() -> None:
    for document in (live_command("error"), "<CommandResult><id>700</id><status>FAILED</status></CommandResult>"):
        reply = read(document)
        assert (reply.state, type(reply.exception)) == ("failed", Unavailable)
        assert "700" in str(reply.exception)


@pytest.mark.parametrize("body", ["<reply><comment>1.2.3.4 sk-very-secret-4242</comment></reply>", "", "<html/>"])
def test_a_401_is_about_the_key_or_our_address_and_repeats_neither(body: str) -> None:
    fake = bank(httpx.Response(401, text=body))
    for call in (
        lambda: fake.client("live").start_import(SESSION, None),
        lambda: fake.client("openapi").reuse("t", None),
        lambda: fake.client("live").command("700", Kept),
        lambda: fake.client("live").catalog(),
    ):
        with pytest.raises(Misconfigured, match="API key is unknown, or this machine's address") as caught:
            call()
        assert KEY not in str(caught.value)
        assert "1.2.3.4" not in str(caught.value)


def test_a_401_inside_a_200_is_the_same() -> None:
    reply = read("<reply status='401 Unauthorized'><comment>1.2.3.4</comment></reply>")
    assert isinstance(reply.exception, Misconfigured)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Unexpected),
        (403, Misconfigured),
        (404, Misconfigured),
        (405, Misconfigured),
        (409, Unexpected),
        (429, QuotaSpent),
        (500, MayBeAccepted),
        (502, MayBeAccepted),
        (503, Unavailable),
        (504, MayBeAccepted),
    ],
)
@pytest.mark.parametrize("body", ["", "no", "<html><h1>x</h1></html>", "<reply/>", "{}"])
def test_a_status_without_a_reason_is_sorted_with_care(status: int, kind: type[SourceError], body: str) -> None:
    error = raised(httpx.Response(status, text=body))
    if body.startswith("<html") and status < 500:
        assert "web page" in str(error)
    else:
        assert type(error) is kind


def test_a_command_that_is_not_there_any_more_needs_a_new_session() -> None:
    for answer in (httpx.Response(404), refused("InvalidCommandId", 404)):
        with pytest.raises(SessionGone):
            bank(answer).client("live").wait("700", Kept)


@pytest.mark.parametrize(
    "lost", [httpx.ReadTimeout(KEY), httpx.ReadError(KEY), httpx.RemoteProtocolError(KEY), httpx.WriteTimeout(KEY)]
)
def test_a_request_whose_answer_never_came_may_have_been_accepted_and_is_not_repeated(lost: Exception) -> None:
    client_calls: list[Any] = [
        lambda client: client.start_import(SESSION, None),
        lambda client: client.reuse("token", None),
        lambda client: client.delete("token"),
        lambda client: client.mock_session(),
        lambda client: client.start_sign_in("T", "SINGLE"),
    ]
    for call in client_calls:
        for dialect in ("openapi", "live"):
            fake = bank(lost)
            with pytest.raises(MayBeAccepted, match="may have accepted") as caught:
                call(fake.client(dialect))
            assert isinstance(caught.value, Unavailable)
            assert len(fake.asked) == 1
            assert fake.slept == []
            assert KEY not in str(caught.value)


@pytest.mark.parametrize("never_sent", [httpx.ConnectError("x"), httpx.ConnectTimeout("x")])
def test_a_request_that_never_left_was_not_accepted(never_sent: Exception) -> None:
    fake = bank(never_sent)
    with pytest.raises(Unavailable) as caught:
        fake.client("live").start_import(SESSION, None)
    assert not isinstance(caught.value, MayBeAccepted)
    assert "accepted" not in str(caught.value)
    assert len(fake.asked) == 1


def test_an_answer_that_breaks_off_may_have_been_accepted() -> None:
    class Breaks(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield b"<reply>"
            raise httpx.ReadError("x")

    transport = httpx.MockTransport(lambda _: httpx.Response(202, stream=Breaks()))
    from sources._http import Http
    from sources.kontomatik.client import KontomatikClient

    client = KontomatikClient(Http("kontomatik", "https://kontomatik.test/v1", transport=transport), KEY, "live")
    with pytest.raises(MayBeAccepted):
        client.start_import(SESSION, None)
    with pytest.raises(Unavailable, match="broke off in the middle"):
        client.command("700", Kept)


def test_a_client_closed_under_a_read_has_broken_it_off_and_sent_nothing() -> None:
    from sources._http import Http
    from sources.kontomatik.client import KontomatikClient

    http = Http("kontomatik", "https://kontomatik.test/v1", transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    http.close()

    with pytest.raises(Unreached, match="interrupted"):
        KontomatikClient(http, KEY, "live").start_import(SESSION, None)


def test_too_many_commands_at_once_are_waited_for_longer_each_time_and_not_for_ever() -> None:
    fake = bank(refused("JobsQuotaExceeded", 429), refused("JobsQuotaExceeded"), live_command())
    assert fake.client("live").start_import(SESSION, None).id == "700"
    assert fake.slept == [10.0, 15.0]

    fake = bank(refused("JobsQuotaExceeded", 200))
    with pytest.raises(Unavailable) as caught:
        fake.client("live").reuse("token", None)
    assert caught.value.code == "JobsQuotaExceeded"
    assert fake.slept == sorted(fake.slept)
    assert 10 <= fake.slept[0] <= 15
    assert sum(fake.slept) < 120


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"JobsQuotaExceeded"}))
def test_no_other_refusal_is_tried_again(name: str) -> None:
    fake = bank(refused(name))
    with pytest.raises(SourceError):
        fake.client("openapi").reuse("token", None)
    assert len(fake.asked) == 1
    assert fake.slept == []


def test_the_deadline_keeps_the_commands_number_for_the_next_run() -> None:
    fake = bank(live_command("in_progress"))
    with pytest.raises(CommandUnfinished) as caught:
        fake.client("live", command_deadline=60.0).wait("700", Kept)
    assert caught.value.command_id == "700"
    assert fake.seconds == 60.0
    assert len(fake.asked) == 21


def test_an_unknown_state_is_neither_a_success_nor_an_end() -> None:
    fake = bank(live_command("paused"), live_command("sleeping"), live_command("successful", inside="<result/>"))
    assert fake.client("live").wait("700", Kept).accounts == []

    fake = bank(live_command("cancelled", inside="<result/>"))
    with pytest.raises(CommandUnfinished, match="state that we do not know"):
        fake.client("live", command_deadline=6).wait("700", Kept)


def test_a_bank_that_goes_away_while_the_command_runs_is_resumed_not_repeated() -> None:
    fake = bank(httpx.ReadTimeout("x"))
    with pytest.raises(CommandUnfinished) as caught:
        fake.client("live").wait("700", Kept)
    assert caught.value.command_id == "700"
    assert {request.method for request in fake.asked} == {"GET"}

    fake = bank(*[httpx.Response(503)] * 2, live_command("in_progress"), live_command("successful", inside="<result/>"))
    assert fake.client("live").wait("700", Kept).accounts == []


@pytest.mark.parametrize("spoilt", ["<html><h1>We will be back soon</h1></html>", "<reply><command", "", "{}"])
def test_a_spoilt_look_is_taken_again_and_not_for_ever(spoilt: str) -> None:
    fake = bank(live_command("setup"), spoilt, spoilt, live_command("successful", inside="<result/>"))
    assert fake.client("live").wait("700", Kept).accounts == []
    fake = bank(spoilt)
    with pytest.raises(Unexpected):
        fake.client("live").wait("700", Kept)
    assert len(fake.asked) == 3


def test_an_answer_that_means_harm_is_not_looked_at_twice() -> None:
    fake = bank("<!DOCTYPE reply [<!ENTITY a 'b'>]><reply/>")
    with pytest.raises(Unexpected, match="document type"):
        fake.client("live").wait("700", Kept)
    assert len(fake.asked) == 1


def test_a_quota_or_a_gone_session_while_asking_is_reported_as_it_is() -> None:
    for name, kind in (("MultipleAccessLimitExceeded", QuotaSpent), ("InvalidSessionId", SessionGone)):
        with pytest.raises(kind):
            bank(refused(name)).client("live").wait("700", Kept)


def test_another_commands_answer_is_never_taken() -> None:
    with pytest.raises(Unexpected, match="another command"):
        bank(live_command("successful", command_id="701", inside="<result/>")).client("live").wait("700", Kept)
