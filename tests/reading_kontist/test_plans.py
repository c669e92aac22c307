"""How deep an account is read, and what the reader asks of raw history."""

from datetime import date
from typing import Any

import duckdb
import pytest

from pipelines.read.windows import KontistPlan
from pipelines.store.banks import KONTIST
from pipelines.store.known import KnownAccount

TODAY = date(2026, 3, 20)


def plan(since: date | None = None, *, full: bool = False, speaks: str = "rest", **cursor: str) -> KontistPlan:
    cursors = {"a": {"through": "2026-03-16", "deep_on": "2026-03-16", "full_on": "2026-03-16"} | cursor}
    return KontistPlan(cursors=cursors, held={}, today=TODAY, lookback_days=3, since=since, full=full, dialect=speaks)


def planned(since: date | None = None, **more: Any) -> tuple[str, date | None]:
    return plan(since, **more).window("a")


@pytest.mark.parametrize(("since", "reaches"), [(date(2026, 3, 19), date(2026, 3, 13)), (date(2026, 3, 1), date(2026, 3, 1))])
def test_a_day_that_somebody_names_never_passes_over_days_that_are_due(since: date, reaches: date) -> None:
    assert planned(since) == ("deep", reaches)


def test_the_look_back_days_are_due_daily_and_everything_weekly() -> None:
    assert planned(deep_on=str(TODAY)) == ("shallow", None)
    assert planned() == ("deep", date(2026, 3, 13))
    assert planned(full_on="2026-03-13") == ("full", None)
    assert planned(deep_on=str(TODAY), full=True) == ("full", None)


def test_everything_is_due_when_the_dialect_has_changed_until_it_was_read() -> None:
    for before, now in (("rest", "graphql"), ("graphql", "rest")):
        assert planned(TODAY, speaks=now, dialect=before, deep_on=str(TODAY)) == ("full", None)
        assert plan(speaks=now, dialect=before).marks("a", "deep") == {}
        assert plan(speaks=now, dialect=before).marks("a", "full") == {"dialect": now}
        assert planned(speaks=now, dialect=now, deep_on=str(TODAY)) == ("shallow", None)
        assert plan(speaks=now).basis("a") != plan(speaks=before).basis("a"), "nothing is resumed that the other dialect began"
    assert planned(deep_on=str(TODAY)) == ("shallow", None), "a cursor of an earlier version"


def test_raw_history_shows_its_oldest_reservation_and_the_balance_before_a_day() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            """
            create schema kontist;
            create table kontist.accounts (account_id text, balance_cents bigint, _dlt_valid_to timestamptz);
            insert into kontist.accounts values ('a', 1000, null), ('a', 5, now()), ('b', 7, null);
            create table kontist.transactions (
                account_id text, window_on date, amount_cents bigint, valuta_date timestamptz, booking_type text,
                _dlt_valid_to timestamptz
            );
            insert into kontist.transactions values
                ('a', '2026-03-20', 100, now(), null, null), ('a', '2026-03-18', 30, null, 'X', null),
                ('a', '2026-03-19', 9, null, null, null), ('a', '2026-03-17', 9, null, null, null),
                ('a', '2026-03-10', 9, null, null, now()), ('a', '2026-03-01', 400, now(), 'X', null),
                ('b', '2026-03-02', 7, null, null, null);
            alter table kontist.transactions add column memo text;
            insert into kontist.transactions values ('a', '2026-03-01', 5, null, null, null, 'customer');
            """
        )
        known = KnownAccount(connection, KONTIST, "a")
        assert known.oldest_pending() == date(2026, 3, 17)
        assert [known.balance_before(day) for day in (date(2026, 3, 19), date(2026, 3, 18), None)] == [900, 870, 470]
        assert KnownAccount(connection, KONTIST, "c").oldest_pending() is None
        assert KnownAccount(connection, KONTIST, "c").balance_before(None) is None
