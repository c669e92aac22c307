"""A history is cut into files that overlap, in any order, beside reads of the bank: the ledger holds it once, to the cent."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.run.account_joins import join_connected
from pipelines.run.file_import import Given as GivenFile
from pipelines.run.file_import import Wanted, _import
from sources.files import detection
from sources.files.detection import Hints
from tests.files.bank_files import IBAN, ONE_DAY, Row, camt053, mt940, stated
from tests.ledger.worlds import declare, fill, given_seeds, needed, seeds
from transforms import given as given_tables
from transforms.build import make, prepare
from transforms.engine import connect

FIRST, LAST = date(2025, 1, 1), date(2025, 1, 20)
READ_AT = datetime(2025, 2, 1, 6, tzinfo=UTC)
OPENING = Decimal("10.00")
MODELS = needed(
    "intermediate.int_transaction_versions", "intermediate.int_file_entries", "ledger.coverage", "ledger.balances_daily"
)
CONNECTED = {"account_id": "kontist:a", "iban": IBAN, "valid_from": READ_AT - ONE_DAY}
SHIPPED = given_seeds({})

days = st.integers(0, (LAST - FIRST).days).map(lambda number: FIRST + timedelta(days=number))
rows = st.lists(st.tuples(days, st.sampled_from([Decimal("1.00"), Decimal("-1.00"), Decimal("2.50")]), st.just("x")), max_size=14)
"""Few amounts on few days: many payments are equal."""
cuts = st.lists(st.tuples(days, days, st.booleans(), st.booleans()), min_size=1, max_size=4)
"""First and last day of a file, in which format, and whether it comes before the bank is read."""


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as connection:
        connection.execute("set threads = 1; set TimeZone = 'UTC'")
        yield connection


@given(world=rows, files=cuts, connected_on=st.none() | days, known=st.booleans())
@settings(max_examples=30, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_payment_is_there_once_on_each_day_that_anybody_has_shown(
    duck: duckdb.DuckDBPyConnection,
    world: list[Row],
    files: list[tuple[date, date, bool, bool]],
    connected_on: date | None,
    known: bool,
) -> None:
    """Where the account is not `known` from its bank before that was read, the files before make one of their own."""
    world = sorted(world)
    shown = [] if connected_on is None else [row for row in world if row[0] >= connected_on]
    duck.execute("attach ':memory:' as raw; attach ':memory:' as ledger; use raw")
    try:
        declare(duck)
        fill(duck, {"kontist.accounts": [CONNECTED | ({"valid_to": READ_AT} if shown else {})] if known else []})
        for first, last, as_camt, early in sorted(files, key=lambda one: not one[3]):
            if not early and shown and not bank_was_read(duck):
                read_the_bank(duck, world, shown)
            import_the_days(duck, world, min(first, last), max(first, last), as_camt=as_camt)
        if shown and not bank_was_read(duck):
            read_the_bank(duck, world, shown)
        build(duck)
        accounts = "select count(distinct account_id) from (from raw.kontist.accounts union all by name from raw.file.accounts)"
        assert duck.execute(accounts).fetchone() == (1,)

        covered = {
            min(first, last) + timedelta(days=number)
            for first, last, *_ in files
            for number in range(abs((last - first).days) + 1)
        } | {day for day, *_ in shown}
        held = duck.execute(
            "select booked_on, amount from intermediate.int_transaction_versions where valid_to is null"
        ).fetchall()
        assert Counter(held) == Counter((day, amount) for day, amount, _ in world if day in covered)
        assert duck.execute("select count(*) from intermediate.int_file_entries where status = 'contradicted'").fetchone() == (0,)
        balances = dict(duck.execute("select day, closing_balance from ledger.balances_daily").fetchall())
        for day, closing in balances.items():
            if day in covered and shown:
                assert closing == OPENING + sum(amount for booked_on, amount, _ in world if booked_on <= day)
    finally:
        duck.execute("use memory; detach raw; detach ledger")
        for schema in ("staging", "intermediate", "seeds", "given"):
            duck.execute(f"drop schema if exists {schema} cascade")


def account_of(world: list[Row]) -> dict[str, object]:
    closing = OPENING + sum(amount for _, amount, _ in world)
    return CONNECTED | {"balance_cents": int(closing * 100), "valid_from": READ_AT}


def has_account(duck: duckdb.DuckDBPyConnection) -> bool:
    return duck.execute("select count(*) from raw.kontist.accounts").fetchone() != (0,)


def bank_was_read(duck: duckdb.DuckDBPyConnection) -> bool:
    return duck.execute("select count(*) from raw.kontist.imports").fetchone() != (0,)


def read_the_bank(duck: duckdb.DuckDBPyConnection, world: list[Row], shown: list[Row]) -> None:
    """The bank shows all that it still has, and claims that this is everything."""
    fill(
        duck,
        {
            "kontist.accounts": [account_of(world)],
            "kontist.imports": [{"import_id": "i-1", "account_id": "kontist:a", "started_at": READ_AT, "finished_at": READ_AT}],
            "kontist.transactions": [
                {
                    "source_transaction_id": str(number),
                    "booking_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC),
                    "booking_type": "x",
                    "amount_cents": int(amount * 100),
                    "valid_from": READ_AT,
                }
                for number, (day, amount, _) in enumerate(shown)
            ],
        },
    )
    join_connected(duck, READ_AT)


def import_the_days(duck: duckdb.DuckDBPyConnection, world: list[Row], first: date, last: date, *, as_camt: bool) -> None:
    if as_camt:  # a statement a day
        listed = [first + number * ONE_DAY for number in range((last - first).days + 1)]
        text = camt053(*(stated(world, day, day, OPENING) for day in listed))
    else:
        text = mt940(stated(world, first, last, OPENING))
    document = detection.read(text.encode(), Hints())
    file = GivenFile(Path("file"), f"{first} {last} {as_camt}", len(text), document)
    _import(duck, file, Wanted() if has_account(duck) else Wanted(new="Bank"), datetime.now(UTC))


def build(duck: duckdb.DuckDBPyConnection) -> None:
    seeds.fill(duck, SHIPPED)
    given_tables.fill(duck, {})
    prepare(duck, MODELS)
    for model in MODELS:
        make(duck, model, as_table=True)
