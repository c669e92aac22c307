"""What must hold for any history: small worlds at random, loaded into the ledger load by load, and asked back."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.worlds import MODELS, Row, built
from transforms.checks import run_checks

LOADS = [datetime(2026, 3, day, 6, tzinfo=UTC) for day in (2, 5, 9)]
FIRST_DAY = date(2026, 3, 1)


class Shown(NamedTuple):
    """What the bank shows of one transaction at one load."""

    cents: int
    day: int
    booked: bool


class World(NamedTuple):
    """For each transaction of each bank what it shows at each load, None when nothing; the balances that they report."""

    kontist: list[list[Shown | None]]
    kontomatik: list[list[Shown | None]]
    kontist_cents: int
    kontomatik_cents: int


shown = st.builds(Shown, st.integers(-10_000, 10_000), st.integers(0, 6), st.booleans())
lives = st.lists(st.lists(st.none() | shown, min_size=len(LOADS), max_size=len(LOADS)), max_size=5)
worlds = st.builds(World, lives, lives, st.integers(-100_000, 100_000), st.integers(-100_000, 100_000))


def versions(life: list[Shown | None]) -> Iterator[tuple[Shown, datetime, datetime | None]]:
    """A transaction as raw history keeps it: a version while the bank shows the same thing, load after load."""
    since: datetime | None = None
    for load, now, following in zip(LOADS, life, [*life[1:], None], strict=True):
        since = since or load
        last = load == LOADS[-1]
        if now is None:
            since = None
        elif last or following != now:
            yield now, since, None if last else LOADS[LOADS.index(load) + 1]
            since = None


def raw_rows(world: World) -> dict[str, list[Row]]:
    def on(one: Shown) -> date:
        return FIRST_DAY + timedelta(days=one.day)

    kontist: list[Row] = [
        {
            "source_transaction_id": str(number),
            "amount_cents": one.cents,
            "booking_date": datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=one.day),
            "booking_type": "x" if one.booked else None,
            "window_on": on(one),
            "valid_from": start,
            "valid_to": end,
        }
        for number, life in enumerate(world.kontist)
        for one, start, end in versions(life)
    ]
    balance_after = chained(world)
    kontomatik: list[Row] = [
        {
            "transaction_id": f"kontomatik:a:{number}",
            "transaction_on": on(one),
            "booked_on": on(one),
            "amount": Decimal(one.cents) / 100,
            "balance_after": balance_after.get(number) if end is None else None,
            "status": "DONE" if one.booked else "HOLD",
            "position_in_day": number,
            "valid_from": start,
            "valid_to": end,
        }
        for number, life in enumerate(world.kontomatik)
        for one, start, end in versions(life)
    ]
    return {
        "kontist.accounts": [{"balance_cents": world.kontist_cents}],
        "kontist.transactions": kontist,
        "kontist.imports": [{"account_id": "kontist:a", "finished_at": LOADS[-1]}],
        "kontomatik.accounts": [{"balance": Decimal(world.kontomatik_cents) / 100, "currency": "PLN"}],
        "kontomatik.transactions": kontomatik,
        "kontomatik.imports": [{"import_id": "i-2", "account_id": "kontomatik:a", "finished_at": LOADS[-1]}],
    }


def booked_now(life: list[list[Shown | None]]) -> dict[int, Shown]:
    return {number: one[-1] for number, one in enumerate(life) if one[-1] is not None and one[-1].booked}


def chained(world: World) -> dict[int, Decimal]:
    """The running balances that end in the reported one, booked day by day and in the order of position."""
    booked = sorted(booked_now(world.kontomatik).items(), key=lambda item: (item[1].day, item[0]))
    before = world.kontomatik_cents - sum(one.cents for _, one in booked)
    after = list(accumulate((one.cents for _, one in booked), initial=before))[1:]
    return {number: Decimal(cents) / 100 for (number, _), cents in zip(booked, after, strict=True)}


def row_of(account: str, number: int, one: Shown) -> tuple[Any, ...]:
    day = FIRST_DAY + timedelta(days=one.day)
    return (
        f"{account}:{number}",
        Decimal(one.cents) / 100,
        day,
        day if one.booked else None,
        "booked" if one.booked else "pending",
    )


def showing(world: World, load: int) -> set[tuple[Any, ...]]:
    return {
        row_of(account, number, one)
        for account, lives_ in (("kontist:a", world.kontist), ("kontomatik:a", world.kontomatik))
        for number, life in enumerate(lives_)
        if (one := life[load]) is not None
    }


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds)
def test_the_ledger_shows_every_world_as_it_is_and_was(world: World) -> None:
    with built(raw_rows(world)) as connection:

        def ask(query: str, *parameters: object) -> list[tuple[Any, ...]]:
            return connection.execute(query, list(parameters)).fetchall()

        ask("use ledger")
        columns = "transaction_id, amount, transaction_on, booked_on, status"
        now = ask(f"select {columns} from ledger.transactions")
        assert len(now) == len(set(now))
        assert set(now) == showing(world, -1)

        for load, moment in enumerate(LOADS):
            assert showing(world, load) == set(
                ask(
                    f"select {columns} from ledger.transaction_history where change <> 'removed'"
                    " and valid_from <= $1 and coalesce(valid_to > $1, true)",
                    moment,
                )
            )
            assert showing(world, load) == set(ask(f"select {columns} from as_of($1)", moment))

        booked_sums = ask("select transaction_id, amount from ledger.transactions where status = 'booked' order by all")
        assert ask("select transaction_id, amount from ledger.postings where leg = 1 order by all") == booked_sums
        assert ask("select transaction_id, -amount from ledger.postings where leg = 2 order by all") == booked_sums
        proofs = [proof for (proof,) in ask("select proof from ledger.coverage where account_id = 'kontomatik:a' order by day")]
        if booked_now(world.kontomatik):  # else the balances reported at two loads are all there is
            assert proofs == ["derived"] + ["chain"] * (len(proofs) - 1)

        for account, cents, life in (
            ("kontist:a", world.kontist_cents, world.kontist),
            ("kontomatik:a", world.kontomatik_cents, world.kontomatik),
        ):
            days = ask(
                "select day, opening_balance, closing_balance, coalesce(difference_amount, 0), proof from ledger.balances_daily"
                " where account_id = ? order by day",
                account,
            )
            booked = booked_now(life).values()
            assert bool(days) or not booked
            differing = {day: difference for day, _, _, difference, _ in days}
            for day, opening, closing, difference, proof in days:
                later = sum(one.cents for one in booked if FIRST_DAY + timedelta(days=one.day) > day)
                that_day = sum(one.cents for one in booked if FIRST_DAY + timedelta(days=one.day) == day)
                differs_later = sum(amount for other, amount in differing.items() if other > day)
                assert closing == Decimal(cents - later) / 100 - differs_later
                assert closing - opening - difference == Decimal(that_day) / 100
                chained_days = account == "kontomatik:a" and booked
                assert proof in (("derived", "chain") if chained_days else ("derived", "reported", "differs"))
                assert difference == 0 or not chained_days

        assert [result.name for result in run_checks(connection, MODELS) if not result.passed] == []
