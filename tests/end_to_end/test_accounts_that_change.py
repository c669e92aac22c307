"""Accounts that end, change their number, or come under another dialect: held, recognised, never counted twice."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.read.options import Options
from pipelines.run.accounts import accounts
from pipelines.run.freshness import overdue
from pipelines.run.report import Report
from sources.sandbox import Dialect, World
from tests.support import FirstRuns, a_bank, account_id, read, rows, troubled

NEW_IBAN = {"kontist": "DE89370400440532013000", "kontomatik": "PL61109010140000071219812874"}
FIRST = {"kontist": "4711", "kontomatik": "Konto Start"}


def reads(world: World, data: Path, source: str, *, ledger: bool = True, **options: Any) -> Report:
    with a_bank(world, dialect="live") as bank:
        return read(bank, data, Options(sources=(source,), **options), ledger=ledger)


def sums(data: Path) -> list[tuple[Any, ...]]:
    """Count and sum of all that is booked, and the sum of the balances of today."""
    return rows(
        data,
        "select count(*) filter (status = 'booked'), sum(amount) filter (status = 'booked'),"
        " (select count(*) from accounts where gone_at is null) from transactions",
    )


@pytest.mark.parametrize("source", ["kontist", "kontomatik"])
def test_an_account_under_a_new_iban_keeps_its_id_and_its_rows_count_once(
    first_runs: FirstRuns, tmp_path: Path, source: str
) -> None:
    world = first_runs.copy(tmp_path, sources=(source,))
    account = world.account(FIRST[source])
    ((count, total, accounts),), known = sums(tmp_path), account_id(tmp_path, account)

    account.iban = NEW_IBAN[source]
    account.changed()
    world.append(account, amount="20.00")
    assert troubled(reads(world, tmp_path, source, ledger=False)) == []
    world.append(account, amount="1.00")
    assert reads(world, tmp_path, source).status == "ok"

    assert sums(tmp_path) == [(count + 2, total + Decimal("21.00"), accounts)]
    assert account_id(tmp_path, account) == known
    assert rows(tmp_path, f"select balance from accounts where account_id = '{known}'") == [(account.balance,)]


def test_an_account_whose_last_days_are_quiet_is_recognised_under_a_new_iban_before_anything_counts_twice(
    first_runs: FirstRuns, tmp_path: Path
) -> None:
    world = first_runs.copy(tmp_path, sources=("kontomatik",))
    for row in [row for one in world.accounts for row in one.rows.values() if row.status == "pending"]:
        world.delete(row)  # a reservation would have older days read
    world.clock.advance(timedelta(days=30))
    reads(world, tmp_path, "kontomatik")
    account = world.account(FIRST["kontomatik"])
    before, known = sums(tmp_path), account_id(tmp_path, account)

    account.iban = NEW_IBAN["kontomatik"]
    account.changed()
    assert [status for status, _ in troubled(reads(world, tmp_path, "kontomatik"))] == ["doubted", "doubted"]
    assert sums(tmp_path) == before

    assert reads(world, tmp_path, "kontomatik").status == "ok"
    assert sums(tmp_path) == before
    assert account_id(tmp_path, account) == known


def test_an_account_that_was_gone_and_comes_back_under_a_new_iban_counts_once(first_runs: FirstRuns, tmp_path: Path) -> None:
    world = first_runs.copy(tmp_path, sources=("kontist",))
    account = world.account(FIRST["kontist"])
    before, known = sums(tmp_path), account_id(tmp_path, account)
    place = world.accounts.index(account)
    world.accounts.remove(account)
    reads(world, tmp_path, "kontist", ledger=False, accept_removals=(known,))

    account.iban = NEW_IBAN["kontist"]
    account.changed()
    world.accounts.insert(place, account)
    assert reads(world, tmp_path, "kontist").status == "ok"
    assert sums(tmp_path) == before
    assert account_id(tmp_path, account) == known


@pytest.mark.parametrize("source", ["kontist", "kontomatik"])
def test_an_account_that_its_bank_no_longer_lists_is_held_then_gone_and_comes_back(
    first_runs: FirstRuns, tmp_path: Path, source: str
) -> None:
    world = first_runs.copy(tmp_path, sources=(source,))
    account = world.account("4712" if source == "kontist" else world.accounts[3].key)
    name = account_id(tmp_path, account)
    place = world.accounts.index(account)
    world.accounts.remove(account)
    listed = f"select count(*) from {source}.accounts where account_id = '{name}' and _dlt_valid_to is null"
    gone = f"select gone_at is not null from accounts where account_id = '{name}'"

    for number in range(3):  # three reads within an hour are no day
        report = reads(world, tmp_path, source, ledger=number == 2)
        assert [one.account_id for one in report.outcomes if "no longer names" in (one.reason or "")] == [name]
        assert rows(tmp_path, listed, of="raw") == [(1,)]
    assert report.status == "partial"
    assert rows(tmp_path, gone) == [(False,)]
    world.clock.advance(timedelta(days=2))
    assert troubled(reads(world, tmp_path, source, ledger=False)) == []
    assert rows(tmp_path, listed, of="raw") == [(0,)]
    assert reads(world, tmp_path, source).status == "ok"
    assert rows(tmp_path, gone) == [(True,)]
    day_gone = f"(select cast(gone_at at time zone 'Europe/Berlin' as date) from accounts where account_id = '{name}')"
    last = f"select max(day) <= {day_gone} from balances_daily"
    assert rows(tmp_path, f"{last} where account_id = '{name}'") == [(True,)]
    assert rows(tmp_path, f"select count(*) from cash_forecast where account_id = '{name}'") == [(0,)]

    (known,) = [one for one in accounts(tmp_path / "ledger.duckdb") if one["account_id"] == name]
    assert known["gone_at"] is not None
    assert known["held_since"] is None
    assert overdue([known], {name}, 1, world.clock.now() + timedelta(days=30)) == []

    world.accounts.insert(place, account)
    assert reads(world, tmp_path, source).status == "ok"
    assert rows(tmp_path, gone) == [(False,)]
    world.accounts.remove(account)
    assert len(troubled(reads(world, tmp_path, source, ledger=False))) == 1  # what was believed once is held anew
    assert rows(tmp_path, listed, of="raw") == [(1,)]


def test_a_person_can_say_at_once_that_an_account_is_gone(first_runs: FirstRuns, tmp_path: Path) -> None:
    world = first_runs.copy(tmp_path, sources=("kontist",))
    account = world.account("4712")
    name = account_id(tmp_path, account)
    world.accounts.remove(account)

    assert reads(world, tmp_path, "kontist", accept_removals=(name,)).status == "ok"
    assert rows(tmp_path, f"select gone_at is not null from accounts where account_id = '{name}'") == [(True,)]


@pytest.mark.parametrize(("before", "after"), [("openapi", "live"), ("live", "openapi")])
def test_another_dialect_and_a_fresh_sign_in_count_no_account_twice(
    first_runs: FirstRuns, tmp_path: Path, before: Dialect, after: Dialect
) -> None:
    world = first_runs.copy(tmp_path, sources=("kontomatik",), dialect=before)
    with a_bank(world, dialect=after) as bank:
        read(bank, tmp_path, Options(sources=("kontomatik",)), sign_in=True)

    assert rows(tmp_path, "select count(*) from accounts") == [(sum(one.bank == "kontomatik" for one in world.accounts),)]
    # the savings account has no IBAN: the dialects name it by number here and by name there
    savings = world.account("SAV-0001-0042")
    counted = (
        "select count(*), sum(amount) from transactions inner join accounts using (account_id)"
        " where account_type = 'account' and iban is null"
    )
    assert rows(tmp_path, counted) == [(savings.totals().booked_count, savings.totals().booked_sum)]
