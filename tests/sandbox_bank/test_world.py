"""What the world promises: a history that does not move, and balances that always add up."""

import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban

from sources.sandbox import Account, World
from tests.patience import patient

TODAY = date(2026, 11, 20)


def seen(world: World) -> set[tuple[object, ...]]:
    return {
        (own.key, row.id, row.cents, row.day, row.booked_on, row.party, row.description, row.balance_after)
        for own in world.accounts
        for row in own.transactions
    }


def booked(world: World) -> set[tuple[object, ...]]:
    return {row for row in seen(world) if row[4] is not None}


def assert_adds_up(account: Account) -> None:
    rows = [row for row in reversed(account.transactions) if row.status == "booked"]
    assert account.balance == account.opening + sum((row.amount for row in rows), Decimal(0))
    after = [account.opening, *(row.balance_after for row in rows)]
    assert all(later == earlier + row.amount for (earlier, later), row in zip(pairwise(after), rows, strict=True))
    pending = [row for row in account.transactions if row.status == "pending"]
    limit = account.available_balance - account.balance - sum((row.amount for row in pending), Decimal(0))
    assert limit == (Decimal("25000.00") if account.kind == "card" else 0)
    assert [row.id for row in account.transactions] == [
        row.id for row in sorted(account.transactions, key=lambda row: row.moment, reverse=True)
    ]
    assert all(row.balance_after is None for row in pending)


# ---- history


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    assert seen(World(7, today=TODAY)) == seen(World(7, today=TODAY))
    assert seen(World(7, today=TODAY)) != seen(World(8, today=TODAY))


def test_what_is_booked_stays_as_it_is_when_days_pass() -> None:
    worlds = [World(today=TODAY + timedelta(days=day)) for day in range(8)]

    for yesterday, today in pairwise(worlds):
        assert booked(yesterday) < booked(today)
        news = booked(today) - booked(yesterday)
        assert {row[4] for row in news} == {today.today}


def test_living_through_days_gives_the_world_of_that_day() -> None:
    world = World(today=TODAY)

    world.live(1)
    assert seen(world) == seen(World(today=TODAY + timedelta(days=1)))
    world.live(30)
    assert seen(world) == seen(World(today=TODAY + timedelta(days=31)))


def test_a_card_payment_is_pending_first_and_booked_under_another_id() -> None:
    world = World(today=TODAY)
    pending = next(row for row in world.account("4711").transactions if row.status == "pending")
    world.live(3)

    rows = {row.id: row for row in world.account("4711").transactions}
    twin = next(row for row in rows.values() if (row.day, row.party) == (pending.day, pending.party))
    assert pending.id not in rows
    assert twin.status == "booked"
    assert twin.booked_on is not None and twin.booked_on > pending.day


def test_kontist_ids_rise_with_the_day_they_appear_on() -> None:
    for name in ("4711", "4712"):
        rows = [row for row in World(today=TODAY).account(name).transactions if row.status == "booked"]
        assert all(newer.id > older.id for newer, older in pairwise(rows))


def test_the_world_is_as_rich_as_promised() -> None:
    world = World(today=TODAY)
    rows = {
        bank: [row for own in world.accounts if own.bank == bank for row in own.transactions]
        for bank in ("kontist", "kontomatik")
    }

    assert 1000 <= len(rows["kontist"]) <= 1500
    assert 2700 <= len(rows["kontomatik"]) <= 3500
    assert {own.currency for own in world.accounts} == {"EUR", "PLN", "CZK"}
    assert [own.name for own in world.accounts if own.iban is None] == ["Konto Oszczędnościowe"]
    assert [own.name for own in world.accounts if own.kind == "card"] == ["Visa Test"]
    assert [[who.name for who in own.owners] for own in world.accounts if len(own.owners) > 1] == [["Ada Example", "Ben Sample"]]
    for own in rows.values():
        assert {row.original_currency for row in own} - {None}
        assert {row.status for row in own} == {"booked", "pending"}


def test_some_payments_differ_from_another_of_the_day_by_nothing_but_id_and_balance() -> None:
    for bank in ("kontist", "kontomatik"):
        groups = Counter(
            (own.key, row.day, row.booked_on, row.cents, row.party, row.description, row.e2e_id)
            for own in World(today=TODAY).accounts
            if own.bank == bank
            for row in own.transactions
        )
        assert any(number == 2 for number in groups.values())


def test_a_transfer_between_own_accounts_has_two_ends_of_one_amount() -> None:
    world = World(today=TODAY)
    ends = {
        name: {
            (row.day, -row.amount if out else row.amount)
            for row in world.account(name).transactions
            if (row.description or "").upper().startswith(text)
        }
        for name, text, out in (
            ("4711", "STEUERRÜCKLAGE", True),
            ("4712", "STEUERRÜCKLAGE", False),
            ("Kontist", "PRIVAT", True),
            ("Konto Walutowe", "PRIVAT", False),
            ("Konto Start", "SPŁATA KARTY", True),
            ("Visa Test", "SPŁATA KARTY", False),
        )
    }

    assert len(ends["4711"]) >= 24
    assert ends["4711"] == ends["4712"]
    assert ends["Kontist"] == ends["Konto Walutowe"]
    assert ends["Konto Start"] >= ends["Visa Test"]


def test_salaries_and_rent_are_paid_on_working_days() -> None:
    days = {
        row.day.weekday()
        for row in World(today=TODAY).account("Konto Start").transactions
        if (row.description or "").startswith(("WYNAGRODZENIE", "CZYNSZ"))
    }

    assert days <= set(range(5))


def test_every_iban_has_right_check_digits() -> None:
    world = World(today=TODAY)
    numbers = {own.iban for own in world.accounts} | {row.party_iban for own in world.accounts for row in own.transactions}

    assert len(numbers) > 15
    assert all(iban.is_valid(number) for number in numbers - {None})


def test_every_account_adds_up() -> None:
    for account in World(today=TODAY).accounts:
        assert_adds_up(account)


def test_a_world_before_the_accounts_were_opened_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-09-01"):
        World(today=date(2024, 8, 31))


# ---- worlds made to measure


@pytest.mark.parametrize("number", [1, 7, 1000, 10_000])
def test_a_number_of_transactions_is_met_exactly_at_each_bank(number: int) -> None:
    began = time.process_time()
    totals = World(today=TODAY, transactions=number).totals()

    for bank in ("kontist", "kontomatik"):
        assert sum(own.booked_count for (which, _), own in totals.items() if which == bank) == number
        assert sum(own.pending_count for (which, _), own in totals.items() if which == bank) == 0
    assert time.process_time() - began < patient(1.5)


def test_a_world_made_to_measure_spans_two_years_and_adds_up() -> None:
    world = World(today=TODAY, transactions=5000)

    for account in world.accounts:
        assert_adds_up(account)
    days = [row.booked_on for row in world.account("4711").transactions]
    assert (days[0], days[-1]) == (TODAY, TODAY - timedelta(days=729))


# ---- changes


def test_a_new_row_has_the_highest_id_and_moves_the_balance() -> None:
    world = World(today=TODAY)
    account = world.account("4711")
    before, highest = account.balance, max(account.rows)

    row = world.append(account, amount="-12.50")

    assert row.id > highest
    assert (row.amount, row.booked_on, row.status) == (Decimal("-12.50"), TODAY, "booked")
    assert account.balance == before - Decimal("12.50")


def test_a_late_booking_moves_every_later_running_balance() -> None:
    world = World(today=TODAY)
    account = world.account("Konto Start")
    before = {row.id: row.balance_after for row in account.transactions if row.booked_on}
    day = TODAY - timedelta(days=30)

    late = world.insert(account, day, Decimal("-100.00"))

    for row in account.transactions:
        if row.booked_on and row is not late:
            moved = row.moment > late.moment
            assert row.balance_after == before[row.id] - (100 if moved else 0)


def test_booking_a_pending_row_gives_it_another_id_and_perhaps_another_amount() -> None:
    world = World(today=TODAY)
    account = world.account("4711")
    pending = next(row for row in account.transactions if row.status == "pending")
    before = account.balance

    row = world.book(pending, amount="-1.23")

    assert row.id != pending.id
    assert pending.id not in account.rows
    assert account.balance == before - Decimal("1.23")
    world.live(3)
    again = [other for other in account.transactions if (other.day, other.party) == (row.day, row.party)]
    assert again == [row]


def test_a_row_deleted_or_corrected_stays_so_when_days_pass() -> None:
    world = World(today=TODAY)
    gone, changed = world.account("4711").transactions[10:12]

    world.delete(gone)
    world.correct(changed, amount="-9.99", description="corrected")
    world.live(5)

    assert gone.id not in world.account("4711").rows
    assert world.find(changed.id).amount == Decimal("-9.99")
    assert world.find(changed.id).description == "corrected"


def test_impossible_changes_are_refused() -> None:
    world = World(today=TODAY)
    row = next(row for row in world.account("4711").transactions if row.status == "booked")

    with pytest.raises(ValueError, match="future"):
        world.append("4711", amount=1, day=TODAY + timedelta(days=2))
    with pytest.raises(ValueError, match="decimals"):
        world.append("4711", amount="1.234")
    with pytest.raises(TypeError, match="float"):
        world.append("4711", amount=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="booked already"):
        world.book(row)
    with pytest.raises(KeyError):
        world.append("no such account", amount=1)


def test_totals_show_what_each_dialect_can_show() -> None:
    world = World(today=TODAY)
    plain, live, openapi = world.totals(), world.totals("live"), world.totals("openapi")

    assert ("kontomatik", "SAV-0001-0042") in plain
    assert live["kontomatik", "Konto Oszczędnościowe"] == plain["kontomatik", "SAV-0001-0042"]
    assert sum(own.pending_count for (bank, _), own in plain.items() if bank == "kontomatik") > 0
    assert sum(own.pending_count for (bank, _), own in openapi.items() if bank == "kontomatik") == 0
    assert len(plain) == len(world.accounts)


def test_moving_the_clock_moves_time_and_nothing_else() -> None:
    world = World(today=TODAY)
    before = seen(world)

    now = world.clock.advance(timedelta(hours=50))

    assert now.date() in (TODAY + timedelta(days=2), TODAY + timedelta(days=3))
    assert seen(world) == before
    assert world.today == TODAY
    assert World().clock.now() - datetime.now(UTC) < timedelta(seconds=5)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["append", "pending", "insert", "book", "correct", "move", "delete", "live"]),
        st.integers(0, 7),
        st.integers(0, 10_000),
        st.integers(-100_000, 100_000),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_whatever_happens_the_balances_add_up(changes: list[tuple[str, int, int, int]]) -> None:
    world = World(today=date(2024, 9, 20))
    for what, place, pick, cents in changes:
        account, amount = world.accounts[place], Decimal(cents).scaleb(-2)
        rows = account.transactions
        row = rows[pick % len(rows)] if rows else None
        if what in ("append", "pending"):
            world.append(account, amount=amount, pending=what == "pending")
        elif what == "insert":
            world.insert(account, date(2024, 9, 1) + timedelta(days=pick % 20), amount)
        elif what == "live":
            world.live(pick % 3)
        elif row is None or (what == "book" and row.status == "booked"):
            continue
        elif what == "book":
            world.book(row, amount)
        elif what == "correct":
            world.correct(row, amount=amount)
        elif what == "move":
            world.correct(row, day=date(2024, 9, 1) + timedelta(days=pick % 20))
        else:
            world.delete(row)
    for account in world.accounts:
        assert_adds_up(account)


def test_importing_the_sandbox_brings_nothing_heavy() -> None:
    code = "import sys, sources.sandbox; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"httpx", "dlt", "duckdb", "pyarrow", "lxml", "prefect", "http", "email", "asyncio"} & set(modules)
    assert not [name for name in modules if name.startswith(("pipelines", "transforms", "flows"))]
    assert [name for name in modules if name.startswith("sources.") and not name.startswith("sources.sandbox")] == []
