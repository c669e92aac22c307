"""Faults that spoil bytes, pages and rows."""

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import httpx
import pytest
from lxml import etree

from sources.sandbox import (
    BadRow,
    BrokenXml,
    ExternalEntity,
    LegacyRows,
    NextLoop,
    NextToForeignHost,
    OutOfOrderPage,
    PageShift,
    RepeatedRow,
    TokenExpires,
    TotalChanges,
    TruncatedBody,
    UnknownField,
    World,
    XmlBomb,
)

Visit = Callable[..., Any]
TODAY = date(2025, 3, 20)
BOTH = pytest.mark.parametrize("dialect", ["openapi", "live"])
FIRST = "/4711/transactions"


def page(visitor: Any, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = visitor.kontist(f"{FIRST}?page={number}").json()
    return found


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
    body = visitor.poll(visitor.start(visitor.session(), since="2025-03-19")).content

    assert len(body) < 20_000
    assert b"<!ENTITY e9" in body
    assert b"<name>&e9;" in body
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(body)  # libxml2 counts what it expands and stops


@BOTH
def test_an_external_entity_points_outside(visit: Visit, dialect: str) -> None:
    visitor = visit(World(today=TODAY), ExternalEntity("file:///nowhere"), dialect=dialect)
    body = visitor.poll(visitor.start(visitor.session())).text

    assert '<!ENTITY outside SYSTEM "file:///nowhere">' in body
    assert "<name>&outside;" in body


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


# ---- rows that surprise


@BOTH
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_unknown_field_is_in_every_row(visit: Visit, dialect: str, wrapped: bool) -> None:
    visitor = visit(World(today=TODAY), UnknownField("mood", "good"), dialect=dialect, wrapped_arrays=wrapped)
    root = visitor.first_import()

    rows = list(root.iter("moneyTransaction", "Transaction")) or list(root.iter("transactions"))
    assert len(rows) > 600
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
