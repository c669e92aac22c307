"""What the banks show is what the ledger holds, to the cent, after the first run and after every change."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.summary import as_json
from pipelines.store import run_history
from sources.sandbox import Dialect, World
from tests.support import FirstRuns, a_bank, assert_the_ledger_is_the_world, command, environment, read, rows

pytestmark = pytest.mark.usefixtures("by_dlt")
DIALECTS = ("openapi", "live")


def test_the_program_reads_everything_then_what_changed(tmp_path: Path) -> None:
    world = World()
    data, pln = tmp_path / "data", world.accounts[2]
    with a_bank(world, dialect="openapi") as bank:
        connected = command(tmp_path, environment(bank), "connect", "kontomatik", "--mock", "--json", "--data-dir", str(data))
        assert (connected.status, connected.err) == (0, "")
        first = command(tmp_path, environment(bank), "run", "--json", "--data-dir", str(data))
        assert (first.status, first.err, first.parsed["status"]) == (0, "", "ok")
        assert_the_ledger_is_the_world(data, bank)
        assert first.parsed["ledger"] == {
            "transactions": sum(t.booked_count + t.pending_count for t in _shown(bank)),
            "accounts": 8,
        }

        world.append("4711", amount="-12.50")
        world.append(pln, amount="99.99", description="Żółć & <gęślą>")
        world.correct(_booked(world, "4711", 3), description="another text")
        world.correct(_booked(world, "Konto Start", 3), amount="-0.01")
        world.delete(_booked(world, "4711", 5))
        world.insert("4711", world.today - timedelta(days=4), "7.77")
        second = command(tmp_path, environment(bank), "run", "--json", "--data-dir", str(data))
        assert (second.status, second.err) == (0, "")
        assert_the_ledger_is_the_world(data, bank)
        kontist, kontomatik = second.parsed["sources"]["kontist"], second.parsed["sources"]["kontomatik"]
        assert kontist["transactions"] == {"new": 2, "changed": 1, "removed": 1}
        assert kontomatik["transactions"] == {"new": 2, "changed": 0, "removed": 1}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_kind_of_change_arrives_with_the_next_run(first_runs: FirstRuns, tmp_path: Path, dialect: Dialect) -> None:
    world = first_runs.copy(tmp_path, dialect=dialect)
    live = dialect == "live"
    with a_bank(world, dialect=dialect) as bank:
        assert_the_ledger_is_the_world(tmp_path, bank)
        reserved = []
        for name in ("4711", "Konto Start"):
            world.append(name, amount="-12.50")
            reserved.append(world.append(name, amount="-20.00", pending=True))
            reserved.append(world.append(name, amount="-33.00", pending=True))
            world.correct(_booked(world, name, 2), description="corrected by the bank")
            world.correct(_booked(world, name, 3), amount="-98.76")
        report = read(bank, tmp_path)
        assert report.status == "ok"
        assert_the_ledger_is_the_world(tmp_path, bank)
        # Kontist has ids. At Kontomatik day and amount are the identity, and the specification shows no reservation.
        assert _counts(report) == ((3, 2, 0), (4 if live else 2, 1, 1))

        for number, row in enumerate(reserved):
            world.book(row, amount="-33.41" if number % 2 else None)
        for name in ("4711", "Konto Start"):
            world.delete(_booked(world, name, 4))
            world.insert(name, world.today - timedelta(days=6), "55.55")
            twin = _booked(world, name, 5)
            world.append(name, amount=twin.amount, day=twin.booked_on, description=twin.description, party=twin.party)
        report = read(bank, tmp_path)
        assert report.status == "ok"
        assert_the_ledger_is_the_world(tmp_path, bank)
        # booked as reserved is a change, booked at another amount is one row gone and one come
        assert _counts(report) == ((4, 0, 3), (3, 1, 2) if live else (4, 0, 1))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_run_that_finds_nothing_new_leaves_no_trace_but_its_imports(
    first_runs: FirstRuns, tmp_path: Path, dialect: Dialect
) -> None:
    world = first_runs.copy(tmp_path, dialect=dialect)
    with a_bank(world, dialect=dialect) as bank:
        before = _traces(tmp_path)
        bank.requests.clear()
        report = read(bank, tmp_path)

        assert _counts(report) == ((0, 0, 0), (0, 0, 0))
        assert _traces(tmp_path) == before
        # the second account of Kontist has one page: reading it is reading everything
        assert [outcome.depth for outcome in report.outcomes if outcome.source == "kontist"] == ["shallow", "full"]
        result = json.loads(as_json(report))["sources"]
        assert result["kontist"]["requests"] == bank.count(path_contains="/api/") == 9
        assert result["kontomatik"]["requests"] == bank.count(path_contains="/v1/") == (2 if dialect == "openapi" else 3)
        assert result["kontomatik"]["imports"] == 1
        assert bank.count("GET", "/transactions") == 2  # one page an account
        assert bank.count("GET", "-orders") == 4
        assert bank.count("POST", "/api/") == 2  # the login
        _assert_the_runs_are_on_record(tmp_path, report, requests=len(bank.requests))


def _assert_the_runs_are_on_record(data_dir: Path, report: Report, *, requests: int) -> None:
    """Both runs are in the ledger, and the end of the one that published it is known to the next ledger."""
    shown = (
        "select status, checks_passed, checks_failed, quarantined_rows, transform_seconds > 0, ended_at is null, stale_accounts"
    )
    passed = len(report.checks)
    assert rows(data_dir, f"{shown} from runs where run_id <> '{report.run_id}'") == [("ok", passed, 0, 0, True, False, 0)]
    assert rows(data_dir, f"{shown} from runs where run_id = '{report.run_id}'") == [("ok", passed, 0, 0, None, True, None)]
    assert rows(data_dir, f"select requests from runs where run_id = '{report.run_id}'") == [(requests,)]
    assert rows(data_dir, "select checks_passed from about") == [(passed,)]

    record = run_history.read(data_dir).records[-1]
    assert (record.run_id, record.status, record.requests) == (report.run_id, "ok", requests)
    assert (record.checks_passed, record.checks_failed) == (passed, 0)
    assert (record.open_accounts, record.stale_accounts) == (len(report.accounts), 0)
    took = (record.extract_seconds, record.load_seconds, record.transform_seconds, record.total_seconds)
    assert took == tuple(round(report.seconds[name], 3) for name in ("extract", "load", "transform", "total"))


def test_one_bank_alone_leaves_the_other_as_it_was(first_runs: FirstRuns, tmp_path: Path) -> None:
    world = first_runs.copy(tmp_path)
    with a_bank(world, dialect="live") as bank:
        before = world.totals(bank.dialect)
        world.append("4711", amount="1.00")
        world.append("Konto Start", amount="1.00")
        report = read(bank, tmp_path, Options(sources=("kontist",)))

        assert [part.source for part in report.banks] == ["kontist"]
        found = dict(rows(tmp_path, "select account_id, count(*) from transactions group by 1"))
        assert sum(found.values()) == sum(t.booked_count for t in before.values()) + _pending(before) + 1


def _shown(bank: object) -> list:  # type: ignore[type-arg]
    return list(bank.world.totals(bank.dialect).values())  # type: ignore[attr-defined]


def _pending(totals: dict) -> int:  # type: ignore[type-arg]
    return sum(one.pending_count for one in totals.values())


def _booked(world: World, name: str, number: int):  # type: ignore[no-untyped-def]
    """The `number`th of the newest rows that are booked."""
    return [row for row in world.account(name).transactions if row.booked_on is not None][number]


def _counts(report: Report) -> tuple[tuple[int, int, int], ...]:
    found = {bank.source: bank.counts for bank in report.banks}
    return tuple((found[source].new, found[source].changed, found[source].removed) for source in ("kontist", "kontomatik"))


def _traces(data_dir: Path) -> dict[str, object]:
    """What a load writes into raw history, apart from the rows of `imports`."""
    found: dict[str, object] = {}
    for dataset in ("kontist", "kontomatik"):
        for table in ("accounts", "transactions", "quarantine", "_dlt_version"):
            found[f"{dataset}.{table}"] = rows(data_dir, f"select count(*) from {dataset}.{table}", of="raw")
    found["sum"] = rows(data_dir, "select count(*), sum(amount) from transaction_history")
    assert isinstance(found["sum"], list)
    assert isinstance(found["sum"][0][1], Decimal)
    return found
