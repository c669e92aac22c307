"""Kontomatik's data in both dialects."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from lxml import etree

from sources.sandbox import World

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
BOTH = pytest.mark.parametrize("dialect", ["openapi", "live"])


def texts(element: Any) -> dict[str, str]:
    return {child.tag: child.text for child in element}


def link_of(visitor: Any, **asked: Any) -> dict[str, str]:
    reply = visitor.http.post("/v1/signin/redirection", json=asked)
    assert reply.status_code == 200, reply.text
    found: dict[str, str] = reply.json()
    return found


# ---- both


@BOTH
def test_an_import_shows_what_the_world_holds(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    found = visitor.sums(visitor.first_import())

    expected = {key: tuple(own) for key, own in visitor.world.totals(dialect).items() if key[0] == "kontomatik"}
    assert found == expected


@BOTH
def test_rows_come_newest_first(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    root = visitor.first_import()

    for own in root.iter("accounts") if dialect == "openapi" else root.iter("account"):
        days = visitor.days(own)
        assert all(newer >= older for newer, older in pairwise(days))


@BOTH
def test_since_is_inclusive(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    days = visitor.days(visitor.first_import(since="2025-03-01"))

    assert min(days) == date(2025, 3, 1)


@BOTH
def test_a_result_is_the_same_whenever_it_is_read(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)
    accepted = visitor.start(visitor.session())
    first = visitor.poll(accepted).content

    visitor.world.append("Konto Start", amount="1.00")

    assert visitor.poll(accepted).content == first


@BOTH
def test_the_second_customer_sees_the_shared_account_only(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    root = visitor.whole(visitor.start(visitor.session(login="test2")))

    assert list(visitor.sums(root)) == [("kontomatik", visitor.world.account("Konto Wspólne").key)]


@BOTH
def test_health_needs_no_key_and_everything_else_does(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), dialect=dialect)

    assert visitor.http.get("/v1/health", headers={"X-Api-Key": ""}).status_code == 200
    refused = visitor.http.post("/v1/mock-session.xml", headers={"X-Api-Key": "wrong"})
    root = etree.fromstring(refused.content)
    assert refused.status_code == 401
    assert (root.tag, root.get("status")) == ("reply", "401 Unauthorized")
    assert root.find("comment") is not None
    assert root.find("exception") is None
    assert visitor.world.kontomatik_api_key not in refused.text


# ---- the published specification


def test_openapi_names_roots_after_schemas_and_repeats_arrays(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))
    accepted = visitor.start(visitor.session())
    root = visitor.whole(accepted)

    assert accepted.status_code == 200
    assert texts(etree.fromstring(accepted.content)).keys() == {"id", "status"}
    assert etree.fromstring(accepted.content).tag == "CommandAccepted"
    assert root.tag == "CommandResult"
    assert root.findtext("status") == "COMPLETED"
    assert root.findtext("multipleAccessToken")
    assert [owner.findtext("name") for owner in root.findall("owners")] == ["Ada Example", "Ben Sample"]
    assert set(texts(root.find("owners"))) == {"externalId", "name", "email", "nationalId"}
    assert len(root.findall("accounts")) == 6
    first = root.find("accounts")
    assert set(texts(first)) == {"number", "currency", "balance", "availableBalance", "transactions"}
    known = {"date", "amount", "currency", "description", "counterpartyName", "counterpartyAccount", "label"}
    assert all(set(texts(row)) <= known for row in root.iter("transactions"))


def test_openapi_shows_the_card_and_the_account_without_iban_by_their_numbers(visit: Visit) -> None:
    root = visit(World(today=TODAY)).first_import()

    numbers = [own.findtext("number") for own in root.findall("accounts")]
    assert numbers[-2:] == ["SAV-0001-0042", "4999 **** **** 0042"]


def test_openapi_wrapped_arrays_hold_items_named_after_their_schema(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), wrapped_arrays=True)
    root = visitor.first_import()

    assert len(root.findall("owners")) == 1
    assert len(root.findall("owners/Owner")) == 2
    assert len(root.findall("accounts/Account")) == 6
    rows = root.findall("accounts/Account/transactions/Transaction")
    expected = visitor.world.totals("openapi")
    assert len(rows) == sum(own.booked_count for (bank, _), own in expected.items() if bank == "kontomatik")


def test_openapi_balances_are_the_booked_ones(visit: Visit) -> None:
    visitor = visit(World(today=TODAY))

    for own in visitor.first_import().findall("accounts"):
        truth = visitor.world.account(own.findtext("number"))
        assert Decimal(own.findtext("balance")) == truth.balance
        assert Decimal(own.findtext("availableBalance")) == truth.available_balance


def test_openapi_owner_id_is_the_one_given_with_the_import(visit: Visit) -> None:
    root = visit(World(today=TODAY)).first_import(ownerExternalId="cust-1")

    assert root.findtext("owners/externalId") == "cust-1"


def test_openapi_sign_in_waits_for_the_user(visit: Visit, exception: Any) -> None:
    visitor = visit(World(today=TODAY))
    opened = link_of(visitor, target="KontoBankApi", accessMode="MULTIPLE", redirectUrl="https://app.example.test/back")
    session = {name: opened[name] for name in ("sessionId", "sessionIdSignature")}

    def state() -> Any:
        return visitor.http.get("/v1/signin/redirection-status", params={"sessionId": opened["sessionId"]}).json()

    assert set(opened) == {"sessionId", "sessionIdSignature", "redirectUrl"}
    assert state() == {"sessionId": opened["sessionId"], "status": "PENDING"}
    assert exception(visitor.start(session)) == "NotSignedIn"
    page = visitor.http.get(opened["redirectUrl"], headers={"X-Api-Key": ""})
    assert f"https://app.example.test/back?redirectionId={opened['sessionId']}" in page.text
    assert state()["status"] == "COMPLETED"
    assert visitor.whole(visitor.start(session)).findtext("multipleAccessToken")


def test_openapi_sign_in_can_be_denied_expire_or_be_for_once_only(visit: Visit, exception: Any) -> None:
    visitor = visit(World(today=TODAY))
    denied, expired, single = (
        link_of(visitor, target="KontoBankApi", accessMode=mode) for mode in ("MIXED", "MULTIPLE", "SINGLE")
    )

    def state(opened: dict[str, str]) -> str:
        reply = visitor.http.get("/v1/signin/redirection-status", params={"sessionId": opened["sessionId"]})
        return str(reply.json()["status"])

    visitor.http.get(denied["redirectUrl"] + "&decision=deny")
    visitor.http.get(single["redirectUrl"])
    session = {name: single[name] for name in ("sessionId", "sessionIdSignature")}
    assert visitor.whole(visitor.start(session)).find("multipleAccessToken") is None
    visitor.world.clock.advance(timedelta(hours=1))
    assert [state(denied), state(expired), state(single)] == ["FAILED", "EXPIRED", "COMPLETED"]
    unknown = visitor.http.post("/v1/signin/redirection", json={"target": "Nowhere", "accessMode": "SINGLE"})
    assert exception(unknown) == "InvalidTarget"
    odd = visitor.http.post("/v1/signin/redirection", json={"target": "KontoBankApi", "accessMode": "ALWAYS"})
    assert exception(odd) == "InvalidParameter"


def test_openapi_catalog_is_json(visit: Visit) -> None:
    targets = visit(World(today=TODAY)).http.get("/v1/ais-catalog").json()["targets"]

    assert {"id": "KontoBankApi", "country": "PL", "name": "KontoBank"}.items() <= targets[0].items()
    assert all(set(target) == {"id", "country", "name", "accessModes"} for target in targets)


# ---- the live service


def test_live_wraps_everything_in_a_reply(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")
    accepted = visitor.start(visitor.session(ownerExternalId="cust-1"))
    root = visitor.whole(accepted)

    start = etree.fromstring(accepted.content)
    assert accepted.status_code == 202
    assert (start.tag, start.get("status"), start.get("ownerExternalId")) == ("reply", "202 Accepted", "cust-1")
    assert (start.find("command").get("state"), start.findtext("command/progress/value")) == ("setup", "0")
    assert (root.tag, root.get("status"), root.get("ownerExternalId")) == ("reply", "200 OK", None)
    command = root.find("command")
    assert (command.get("state"), command.get("name")) == ("successful", "DefaultImportCommand")
    assert (command.get("target"), command.get("institution")) == ("KontoBankApi", "KontoBank")
    assert command.findtext("progress/value") == "0"
    assert [child.tag for child in command.find("result")] == ["owners", "accounts", "creditCards"]


def test_live_running_balances_chain_down_to_the_opening_one(visit: Visit) -> None:
    root = visit(World(today=TODAY), dialect="live").first_import()

    for own in root.iter("account", "creditCard"):
        rows = [row for row in own.iter("moneyTransaction") if row.find("bookedOn") is not None]
        assert rows[0].findtext("currencyBalance") == own.findtext("currencyBalance")
        for newer, older in pairwise(rows):
            expected = Decimal(older.findtext("currencyBalance")) + Decimal(newer.findtext("currencyAmount"))
            assert Decimal(newer.findtext("currencyBalance")) == expected


def test_live_rows_have_a_day_of_payment_and_one_of_booking(visit: Visit) -> None:
    root = visit(World(today=TODAY), dialect="live").first_import()
    booked = [row for row in root.iter("moneyTransaction") if row.findtext("status") == "DONE"]
    pending = [row for row in root.iter("moneyTransaction") if row.findtext("status") != "DONE"]

    lags = {
        (date.fromisoformat(row.findtext("bookedOn")) - date.fromisoformat(row.findtext("transactionOn"))).days for row in booked
    }
    assert lags == {0, 1}
    assert len({row.getparent() for row in pending}) >= 2
    assert all(row.find("bookedOn") is None and row.find("currencyBalance") is None for row in pending)
    minimal = {"transactionOn", "bookedOn", "currencyAmount", "currencyBalance", "title", "status"}
    assert any(set(texts(row)) == minimal for row in booked)
    assert any(row.findtext("variableSymbol") for row in booked)


def test_live_twins_of_a_day_differ_by_their_balance_only(visit: Visit) -> None:
    root = visit(World(today=TODAY), dialect="live").first_import()
    rows = [row for row in root.iter("moneyTransaction") if row.findtext("title") == "WPŁATA"]
    fields = [tuple(sorted(texts(row).items())) for row in rows]

    assert len(rows) >= 12
    assert len(set(fields)) == len(rows)
    without = [tuple(pair for pair in row if pair[0] != "currencyBalance") for row in fields]
    assert len(set(without)) == len(rows) / 2


def test_live_labels_change_their_order_and_nothing_else(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")

    def labels() -> list[list[str]]:
        return [[label.text for label in row.iter("label")] for row in visitor.first_import().iter("moneyTransaction")]

    one, two = labels(), labels()
    assert one != two
    assert [sorted(row) for row in one] == [sorted(row) for row in two]


def test_live_card_repeats_the_iban_of_its_account_and_savings_have_none(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")
    root = visitor.first_import()

    card = root.find(".//creditCard")
    assert card.findtext("iban") == visitor.world.account("Konto Start").iban
    assert card.findtext("number") == card.findtext("cardId") == "4999 **** **** 0042"
    assert (card.findtext("limit"), card.findtext("interest")) == ("25000.00", "18")
    assert Decimal(card.findtext("currencyBalance")) < 0
    assert [own.findtext("name") for own in root.iter("account") if own.find("iban") is None] == ["Konto Oszczędnościowe"]
    shared = next(own for own in root.iter("account") if own.findtext("name") == "Konto Wspólne")
    assert [owner.findtext("kind") for owner in shared.findall("owners/owner")] == ["OWNER", "CO_OWNER"]


def test_live_sign_in_hands_over_session_and_consent_when_the_user_is_done(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")
    opened = link_of(visitor, redirectUri="https://app.example.test/", country="cz", psd2={"accessMode": "MULTIPLE"})

    def state() -> Any:
        params = {"redirectionId": opened["redirectionId"]}
        return visitor.http.get("/v1/signin/redirection-status", params=params).json()

    assert set(opened) == {"redirectionId", "redirectionLink"}
    assert state() == {"status": "PENDING"}
    visitor.http.get(opened["redirectionLink"])
    done = state()
    params = done["params"]
    assert done["status"] == "SUCCESS"
    assert (params["target"], params["officialName"]) == ("KontoBankApi_cz", "KontoBank")
    session = {name: params[name] for name in ("sessionId", "sessionIdSignature")}
    assert visitor.sums(visitor.whole(visitor.start(session)))
    assert visitor.reuse(params["multipleAccessId"]).status_code == 200


def test_live_sign_in_denied_or_expired_says_so(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")
    denied, late = (link_of(visitor, redirectUri="https://app.example.test/", country="pl") for _ in range(2))

    visitor.http.get(denied["redirectionLink"] + "&decision=deny")
    visitor.world.clock.advance(timedelta(hours=1))

    found = [
        visitor.http.get("/v1/signin/redirection-status", params={"redirectionId": own["redirectionId"]}).json()
        for own in (denied, late)
    ]
    assert found == [{"status": "ERROR", "params": {"exception": "NotSignedIn"}}, {"status": "EXPIRED"}]


def test_live_mock_session_gives_a_consent_only_if_asked(visit: Visit) -> None:
    visitor = visit(World(today=TODAY), dialect="live")

    visitor.session(multipleAccess="false")
    assert visitor.token == ""
    visitor.session()
    assert visitor.token


@pytest.mark.parametrize(("mode", "number"), [("SINGLE", 4), ("MULTIPLE", 2), ("MIXED", 4)])
def test_live_catalog_is_xml_and_narrowed_by_access_mode(visit: Visit, mode: str, number: int) -> None:
    reply = visit(World(today=TODAY), dialect="live").http.get("/v1/catalog.xml", params={"accessMode": mode})
    targets = etree.fromstring(reply.content).findall("targets/target")

    assert len(targets) == number
    assert {"name": "KontoBankApi", "institution": "KontoBank", "country": "pl", "psd2": "true"}.items() <= dict(
        targets[0].attrib
    ).items()


def test_live_sign_out_is_not_available(visit: Visit, exception: Any) -> None:
    reply = visit(World(today=TODAY), dialect="live").http.post("/v1/command/sign-out.xml")

    assert (reply.status_code, exception(reply)) == (400, "CommandNotAvailable")
