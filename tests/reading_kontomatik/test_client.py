"""What the client asks in each dialect, and what it makes of the immediate answers."""

from contextlib import nullcontext
from datetime import date
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from sources._errors import ConsentGone, Misconfigured, SessionGone, Unavailable, Unexpected
from sources.kontomatik.results import Command, Session, SignIn
from tests.reading_kontomatik.fake_bank import (
    KEY,
    TODAY,
    FakeBank,
    Kept,
    bank,
    exception,
    live,
    live_account,
    live_command,
    live_row,
    open_account,
    open_row,
    openapi,
    rows_of,
)

SESSION = Session("900100200", "5e0c", "ma-1")
LIVE_SESSION = '<reply status="200 OK"><session id="900100200" signature="5e0c"/></reply>'
OPEN_SESSION = "<MockSession><sessionId>900100200</sessionId><sessionIdSignature>5e0c</sessionIdSignature></MockSession>"
ACCEPTED = "<CommandAccepted><id>700</id><status>QUEUED</status></CommandAccepted>"
SINCE = date(2031, 1, 31)


def form(fake: FakeBank, at: int = -1) -> dict[str, str]:
    return dict(parse_qsl(fake.asked[at].content.decode()))


def asked(fake: FakeBank, at: int = -1) -> tuple[str, str]:
    return fake.asked[at].method, fake.asked[at].url.raw_path.decode().removeprefix("/v1")


def test_an_import_is_asked_for_as_the_specification_says() -> None:
    fake = bank(ACCEPTED)
    assert fake.client("openapi").start_import(SESSION, SINCE, "cust-1") == Command("700")
    assert asked(fake) == ("POST", "/command/default-import.xml")
    assert fake.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert form(fake) == {
        "sessionId": "900100200",
        "sessionIdSignature": "5e0c",
        "since": "2031-01-31",
        "ownerExternalId": "cust-1",
    }


def test_an_import_is_asked_for_as_the_live_service_takes_it() -> None:
    fake = bank(httpx.Response(202, text=live_command("setup")))
    assert fake.client("live").start_import(SESSION, SINCE, "cust-1") == Command("700")
    assert asked(fake) == ("POST", "/command/default-import.xml")
    assert form(fake) == {"sessionId": "900100200", "sessionIdSignature": "5e0c", "since": "2031-01-31"}


def test_everything_is_no_first_day_in_one_dialect_and_ten_years_in_the_other() -> None:
    fake = bank(ACCEPTED)
    fake.client("openapi").start_import(SESSION, None)
    assert "since" not in form(fake)
    fake = bank(live_command())
    fake.client("live").start_import(SESSION, None)
    assert form(fake)["since"] == "2021-03-04"


def test_ten_years_before_a_29th_of_february_there_is_a_day_too() -> None:
    fake = bank(live_command())
    fake.client("live", today=lambda: date(2032, 2, 29)).start_import(SESSION, None)
    assert form(fake)["since"] == "2022-02-28"


@pytest.mark.parametrize(("dialect", "answer"), [("openapi", ACCEPTED), ("live", live_command())])
def test_a_first_day_is_never_in_the_future(dialect: str, answer: str) -> None:
    fake = bank(answer)
    fake.client(dialect).start_import(SESSION, date(2099, 1, 1))
    assert form(fake)["since"] == str(TODAY)


def test_a_reused_consent_is_the_import_itself_in_the_specification() -> None:
    fake = bank(ACCEPTED)
    assert fake.client("openapi").reuse("ma-1", SINCE) == Command("700")
    assert asked(fake) == ("POST", "/command/reuse-multiple-access.xml")
    assert form(fake) == {"multipleAccessToken": "ma-1", "since": "2031-01-31"}
    fake.client("openapi").reuse("ma-1", None)
    assert form(fake) == {"multipleAccessToken": "ma-1"}


def test_a_reused_consent_is_a_new_session_in_the_live_service() -> None:
    fake = bank(LIVE_SESSION)
    session = fake.client("live").reuse("ma-1", SINCE)
    assert isinstance(session, Session)
    assert (session.session_id, session.signature) == ("900100200", "5e0c")
    assert form(fake) == {"multipleAccessId": "ma-1"}


def test_a_reused_consent_may_be_a_command_that_brings_the_session() -> None:
    done = live_command("successful", inside='<result><session id="9" signature="s"/></result>')
    fake = bank(live_command("setup"), live_command("in_progress"), done)
    session = fake.client("live").reuse("ma-1", SINCE)
    assert session == Session("9", "s")
    assert [asked(fake, at)[1] for at in (0, 1, 2)] == [
        "/command/reuse-multiple-access.xml",
        "/command/700.xml",
        "/command/700.xml",
    ]
    assert bank(done).client("live").reuse("ma-1", None) == session

    with pytest.raises(Unavailable, match="no session in time"):
        bank(live_command("setup")).client("live", command_deadline=3).reuse("ma-1", None)
    with pytest.raises(Unexpected, match="no session"):
        bank(live_command("setup"), live_command("successful", inside="<result/>")).client("live").reuse("ma-1", None)
    with pytest.raises(ConsentGone):
        bank(live_command("error", inside=exception("InvalidMultipleAccessId"))).client("live").reuse("ma-1", None)


@pytest.mark.parametrize(("dialect", "field"), [("openapi", "multipleAccessToken"), ("live", "multipleAccessId")])
def test_a_consent_is_ended_and_one_that_is_gone_already_is_told_apart(dialect: str, field: str) -> None:
    gone = httpx.Response(400, text=f"<reply>{exception('InvalidMultipleAccessId')}</reply>")
    inside = f"<reply>{exception('InvalidMultipleAccessId')}</reply>"
    for answer, is_gone in (("", False), ('<reply status="200 OK"/>', False), (gone, True), (inside, True)):
        fake = bank(answer)
        with pytest.raises(ConsentGone) if is_gone else nullcontext():
            fake.client(dialect).delete("ma-1")
        assert asked(fake) == ("POST", "/command/delete-multiple-access.xml")
        assert form(fake) == {field: "ma-1"}
    with pytest.raises(Unavailable):
        bank(f"<reply>{exception('ServiceMaintenance')}</reply>").client(dialect).delete("ma-1")


def test_a_mock_session_takes_no_parameters_in_the_specification() -> None:
    fake = bank(OPEN_SESSION)
    session = fake.client("openapi").mock_session(login="x", owner_external_id="cust-1")
    assert (session.session_id, session.signature, session.token) == ("900100200", "5e0c", None)
    assert asked(fake) == ("POST", "/mock-session.xml")
    assert fake.asked[0].content == b""


@pytest.mark.parametrize(
    "answer",
    [
        '<reply><session id="1" signature="s"/><multipleAccessId>ma-7</multipleAccessId></reply>',
        '<reply><session id="1" signature="s"><multipleAccessId>ma-7</multipleAccessId></session></reply>',
    ],
)
def test_a_mock_session_of_the_live_service_brings_its_consent(answer: str) -> None:
    fake = bank(answer)
    session = fake.client("live").mock_session(login="test1", country="cz", owner_external_id="cust-1", owner_email="a@b.test")
    assert (session.session_id, session.signature, session.token) == ("1", "s", "ma-7")
    assert form(fake) == {
        "login": "test1",
        "country": "cz",
        "multipleAccess": "true",
        "ownerExternalId": "cust-1",
        "ownerEmail": "a@b.test",
    }


def test_a_sign_in_in_the_specifications_words() -> None:
    started = {"sessionId": "1", "sessionIdSignature": "s", "redirectUrl": "https://bank.test/?x"}
    fake = bank(started, {"sessionId": "1", "status": "PENDING"}, {"sessionId": "1", "status": "COMPLETED"})
    client = fake.client("openapi")
    sign_in = client.start_sign_in("KontoBankApi", "MIXED", "https://app.test/back", owner_external_id="cust-1")
    assert asked(fake) == ("POST", "/signin/redirection")
    assert (
        fake.asked[0].read()
        == httpx.Request(
            "POST",
            "https://x.test",
            json={
                "target": "KontoBankApi",
                "accessMode": "MIXED",
                "ownerExternalId": "cust-1",
                "redirectUrl": "https://app.test/back",
            },
        ).read()
    )
    assert (sign_in.id, sign_in.link) == ("1", "https://bank.test/?x")
    assert client.sign_in_status(sign_in).state == "pending"
    assert asked(fake) == ("GET", "/signin/redirection-status?sessionId=1")
    status = client.sign_in_status(sign_in)
    assert (status.state, status.session) == ("completed", Session("1", "s"))
    assert client.sign_in_status("1").session is None


def test_a_sign_in_in_the_live_services_words() -> None:
    params = {"sessionId": "1", "sessionIdSignature": "s", "target": "KontoBankApi", "multipleAccessId": "ma-7"}
    fake = bank(
        {"redirectionId": "r/1", "redirectionLink": "https://bank.test"},
        {"status": "IN_PROGRESS"},
        {"status": "Success", "params": params},
    )
    client = fake.client("live")
    sign_in = client.start_sign_in("KontoBankApi_cz", "MULTIPLE", "https://app.test/back", owner_external_id="cust-1")
    assert (
        fake.asked[0].read()
        == httpx.Request(
            "POST",
            "https://x.test",
            json={
                "redirectUri": "https://app.test/back",
                "ownerExternalId": "cust-1",
                "country": "cz",
                "locale": "en",
                "psd2": {"accessMode": "MULTIPLE"},
            },
        ).read()
    )
    assert sign_in == SignIn("r/1", "https://bank.test")
    assert client.sign_in_status(sign_in.id).state == "pending"
    assert fake.asked[-1].url.params["redirectionId"] == "r/1"
    status = client.sign_in_status(sign_in)
    assert status.session == Session("1", "s", "ma-7", "KontoBankApi")
    assert (status.state, status.target, status.institution) == ("completed", "KontoBankApi", "KontoBank")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": "EXPIRED"}, "expired"),
        ({"status": "failed"}, "failed"),
        ({"status": "FAILED", "params": {"exception": "InvalidMultipleAccessId"}}, "failed"),
        ({"status": "NEWS", "params": {"exception": "NotSignedIn"}}, "failed"),
        ({"status": "OPENED"}, "pending"),
        ({}, "pending"),
        ({"status": None, "params": []}, "pending"),
    ],
)
def test_a_sign_in_that_is_not_completed(answer: dict[str, Any], state: str) -> None:
    status = bank(answer).client("live").sign_in_status("1")
    assert (status.state, status.session) == (state, None)
    name = answer.get("params", {}).get("exception") if isinstance(answer.get("params"), dict) else None
    assert (status.exception.code if status.exception else None) == name
    if name == "NotSignedIn":
        assert isinstance(status.exception, SessionGone)


def test_a_completed_sign_in_without_a_session_is_not_understood() -> None:
    with pytest.raises(Unexpected, match="without a session"):
        bank({"status": "SUCCESS", "params": {"target": "T"}}).client("live").sign_in_status("1")


@pytest.mark.parametrize(
    ("dialect", "answer", "call"),
    [
        ("openapi", live_command("setup"), lambda client: client.start_import(SESSION, None)),
        ("openapi", LIVE_SESSION, lambda client: client.reuse("t", None)),
        ("openapi", LIVE_SESSION, lambda client: client.mock_session()),
        ("openapi", '{"redirectionId": "1", "redirectionLink": "l"}', lambda client: client.start_sign_in("T", "SINGLE")),
        ("openapi", "<reply><targets/></reply>", lambda client: client.catalog()),
        ("live", ACCEPTED, lambda client: client.start_import(SESSION, None)),
        ("live", ACCEPTED, lambda client: client.reuse("t", None)),
        ("live", "<CommandResult><id>1</id></CommandResult>", lambda client: client.start_import(SESSION, None)),
        ("live", OPEN_SESSION, lambda client: client.mock_session()),
        ("live", '{"sessionId": "1", "redirectUrl": "l"}', lambda client: client.start_sign_in("T", "SINGLE")),
        ("live", '{"targets": []}', lambda client: client.catalog()),
    ],
)
def test_an_answer_in_the_other_dialect_names_the_setting(dialect: str, answer: str, call: Any) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.kontomatik\.dialect"):
        call(bank(answer).client(dialect))


@pytest.mark.parametrize("dialect", ["openapi", "live"])
def test_an_imports_result_is_read_in_either_dialect_whatever_we_ask_in(dialect: str) -> None:
    for document in (live(live_account(live_row())), openapi(open_account(open_row()))):
        (account,) = bank(document).client(dialect).wait("700", Kept).accounts
        assert len(rows_of(account)) == 1


def test_waiting_asks_every_few_seconds_and_shows_how_it_goes() -> None:
    outcome: list[tuple[str, float]] = []
    fake = bank(live_command("setup"), live_command("in_progress"), live(live_account(live_row())))
    result = fake.client("live", poll_interval=2.5).wait("700", Kept, lambda state, seconds: outcome.append((state, seconds)))
    assert fake.slept == [2.5, 2.5]
    assert outcome == [("running", 0.0), ("running", 2.5), ("done", 5.0)]
    assert (result.target, result.institution) == ("KontoBankApi", "KontoBank")
    assert {asked(fake, at) for at in range(3)} == {("GET", "/command/700.xml")}


@pytest.mark.parametrize("command_id", ["", "../x", "7/0", "7?x", "7 0", "ü"])
def test_a_commands_number_never_leads_elsewhere(command_id: str) -> None:
    fake = bank(live_command())
    with pytest.raises(Unexpected):
        fake.client("live").command(command_id, Kept)
    assert fake.asked == []


@pytest.mark.parametrize("state", ["setup", "in_progress", "error", "fatal", "surprise"])
def test_rows_of_a_command_that_is_not_done_are_not_kept(state: str) -> None:
    spools: list[Kept] = []

    def new_spool() -> Kept:
        spools.append(Kept())
        return spools[-1]

    reply = bank(live(live_account(live_row()), state=state)).client("live").command("700", new_spool)
    assert reply.result is None
    assert all(spool.cleared for spool in spools)


CATALOG_JSON: dict[str, Any] = {
    "targets": [
        {"id": "KontoBankApi", "country": "PL", "name": "KontoBank", "accessModes": ["SINGLE", "MULTIPLE"]},
        {"id": "Old", "country": "PL", "accessModes": ["SINGLE"]},
        {"id": "KontoBankApi_cz", "country": "CZ", "name": "KontoBank CZ", "accessModes": ["MIXED"]},
        {"country": "PL"},
        "odd",
    ]
}
CATALOG_XML = """<reply><targets>
  <target country="pl" name="SampleBankApi" institution="SampleBank" officialName="Sample Bank" beta="true" psd2="true"/>
  <target country="cz" name="OtherApi_cz" institution="Other" officialName="Other"><commands/></target>
</targets></reply>"""


def test_the_catalog_of_the_specification_is_sorted_out_here() -> None:
    client = bank(CATALOG_JSON).client("openapi")
    assert [one.target for one in client.catalog()] == ["KontoBankApi", "Old", "KontoBankApi_cz"]
    assert [one.target for one in client.catalog("pl", "MULTIPLE")] == ["KontoBankApi"]
    assert [one.target for one in client.catalog("CZ", "MULTIPLE")] == ["KontoBankApi_cz"]
    assert [one.target for one in client.catalog(access_mode="MIXED")] == ["KontoBankApi", "Old", "KontoBankApi_cz"]
    assert client.catalog()[0].institution == "KontoBank"
    assert bank({}).client("openapi").catalog() == []


def test_the_catalog_of_the_live_service_is_narrowed_there() -> None:
    fake = bank(CATALOG_XML)
    (found,) = fake.client("live").catalog("PL", "MULTIPLE")
    assert asked(fake) == ("GET", "/catalog.xml?accessMode=MULTIPLE")
    assert (found.target, found.institution, found.name, found.country, found.beta) == (
        "SampleBankApi",
        "SampleBank",
        "Sample Bank",
        "pl",
        True,
    )
    assert len(fake.client("live").catalog()) == 2


def test_the_key_goes_into_one_header_and_not_where_it_is_not_needed() -> None:
    fake = bank(live_command())
    client = fake.client("live")
    client.start_import(SESSION, None)
    assert fake.asked[0].headers["X-Api-Key"] == KEY
    assert KEY not in str(fake.asked[0].url)
    fake.answers = [""]
    client.health()
    assert asked(fake) == ("GET", "/health")
    assert "X-Api-Key" not in fake.asked[-1].headers


@pytest.mark.parametrize(
    ("status", "live_is_well", "openapi_is_well"), [(200, True, True), (404, True, False), (503, False, False)]
)
def test_health(status: int, live_is_well: bool, openapi_is_well: bool) -> None:
    for dialect, well in (("live", live_is_well), ("openapi", openapi_is_well)):
        client = bank(httpx.Response(status)).client(dialect)
        if well:
            client.health()
        else:
            with pytest.raises((Unavailable, Misconfigured)):
                client.health()


@pytest.mark.parametrize("key", ["", " ", "sk\n", "sk 1", "schlüssel", "sk\x7f"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    from sources._http import Http
    from sources.kontomatik.client import KontomatikClient

    with pytest.raises(Misconfigured) as caught:
        KontomatikClient(Http("kontomatik", "https://kontomatik.test/v1"), key, "live")
    assert "schlüssel" not in str(caught.value)


def test_secrets_do_not_show_in_a_repr() -> None:
    shown = repr(Session("900100200", "5e0c", "ma-1")) + repr(SignIn("r-1", "https://bank.test/secret", SESSION))
    for secret in ("900100200", "5e0c", "ma-1", "r-1", "bank.test"):
        assert secret not in shown
    assert KEY not in repr(bank("").client("live"))
