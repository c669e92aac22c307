"""What somebody may try on closed months, or do by mistake: each has a clear result."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents.clock import Mark
from pipelines.errors import CHECKS_FAILED, GOOD, Failure, WrongUsage
from pipelines.questions.closing_verification import trail_of
from pipelines.questions.doctor import examine
from pipelines.read.options import utc_now
from pipelines.settings import load_settings
from tests.questions.asked import ask, data_dir, printed_json
from tests.support import rows

FIRST, SECOND = "2026-01", "2026-02"


def at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


def history(*days: str, gone: bool = False) -> dict[str, Any]:
    """An account with a movement of -10.00 on each day, read on the first of March. `gone`: its bank shows it no more."""
    gone_at = {"valid_to": at("2026-02-10")} if gone else {}
    return {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": "DE1", "balance_cents": 50_000 - 1_000 * len(days), **gone_at}],
        "kontist.transactions": [
            {"source_transaction_id": str(number), "booking_type": "x", "purpose": "x", "amount_cents": -1_000,
             "booking_date": at(day)}
            for number, day in enumerate(days, start=1)
        ],
        "kontist.imports": [{"account_id": "kontist:a", "started_at": at("2026-03-01"), "finished_at": at("2026-03-01"),
                             "as_of": at("2026-03-01")}],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return data_dir(tmp_path, history("2026-01-10", "2026-01-20", "2026-02-05"))


def altered(folder: Path, statement: str) -> None:
    with duckdb.connect(folder / "raw.duckdb") as connection:
        connection.execute(statement)


def faults(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    """What `close --verify` finds."""
    capsys.readouterr()
    status = ask(folder, "close", "--verify", "--json", *more)
    found: list[str] = printed_json(capsys)["faults"]
    assert status == (CHECKS_FAILED if found else GOOD)
    return found


def test_figures_that_were_altered_in_raw_history_do_not_come_into_the_trail_by_closing_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", FIRST) == GOOD
    altered(folder, "update closings.months set closing_balance = closing_balance + 1")

    assert ask(folder, "close", "--month", FIRST) == GOOD

    (fault,) = faults(folder, capsys)
    assert "raw history does not have the figures of record 1" in fault


@pytest.mark.parametrize("table", ["transactions", "legs"])
def test_rows_of_a_month_that_is_not_closed_are_found(folder: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "close", "--month", FIRST) == GOOD
    altered(folder, f"insert into closings.{table} select * replace (date '2026-02-01' as month) from closings.{table}")

    (fault,) = faults(folder, capsys)
    assert fault == "kontist:a, 2026-02: raw history has rows of a closed month, and the month is not closed"


def test_a_trail_that_ends_too_early_lacks_the_hash_that_somebody_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "close", "--month", FIRST) == GOOD
    (record,) = trail_of(load_settings(data_dir=folder))
    assert ask(folder, "reopen", "--month", FIRST, "--reason", "x") == GOOD

    assert faults(folder, capsys, "--record", record.hash) == []
    (fault,) = faults(folder, capsys, "--record", "0" * 64)
    assert fault == f"no record has the hash {'0' * 64}: the trail ends too early, or was written anew"


def test_a_kept_hash_is_for_verifying_only(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="--record is a hash that --verify looks for"):
        ask(folder, "close", "--month", FIRST, "--record", "0" * 64)
    assert rows(folder, "select count(*) from closings") == [(0,)]


def test_doctor_verifies_closed_months_and_names_the_first_fault(folder: Path) -> None:
    settings = load_settings(data_dir=folder)

    def looked() -> list[tuple[str, str]]:
        return [(one.level, one.found) for one in examine(settings, utc_now) if one.about == "closed months"]

    assert looked() == []
    assert ask(folder, "close", "--month", SECOND) == GOOD
    compared = "2 months and 2 records of the trail are as they were written, the newest is record 2"
    assert looked() == [("fine", compared)]
    altered(folder, "delete from closings.transactions; update closings.legs set amount = amount + 1")
    ((level, said),) = looked()
    assert (level, said.endswith("differ from the closed ones, and 3 more")) == ("wrong", True)


def test_a_month_that_was_reopened_and_closed_again_has_three_records_and_no_correction(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (("close", "--month", FIRST), ("reopen", "--month", FIRST, "--reason", "x"), ("close", "--month", FIRST)):
        assert ask(folder, *arguments) == GOOD
    assert [one.what for one in trail_of(load_settings(data_dir=folder))] == ["closed", "reopened", "closed"]
    assert faults(folder, capsys) == []
    assert rows(folder, "select count(*) from corrections") == [(0,)]


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reopening_without_a_reason_is_wrong_usage(folder: Path, reason: str) -> None:
    with pytest.raises(SystemExit) as ended:
        ask(folder, "reopen", "--month", FIRST, "--reason", reason)
    assert ended.value.code == WrongUsage.exit_status


@pytest.mark.parametrize("month", ["9999-12", "2199-01"])
def test_a_month_to_come_is_refused(folder: Path, month: str) -> None:
    with pytest.raises(WrongUsage, match=f"{month} is not over"):
        ask(folder, "close", "--month", month)


def test_a_month_before_the_first_known_day_closes_nothing_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "close", "--month", "2019-01", "--json") == GOOD
    said = printed_json(capsys)
    assert (said["closed"], len(said["notes"]), "has no day before 2026-01-10" in said["notes"][0]) == ([], 1, True)


def test_a_clock_that_was_set_is_named_beside_what_is_closed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = Mark(at("2031-01-01"), "another boot", 0.0)
    (folder / "clock.json").write_text(json.dumps({"at": known.at.isoformat(), "boot": known.boot, "seconds_up": 0.0}))
    assert ask(folder, "close", "--month", FIRST) == GOOD
    assert "the trail has the time that this machine shows" in capsys.readouterr().out


def test_an_account_that_its_bank_does_not_show_any_more_is_closed_through_its_last_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_dir(tmp_path, history("2026-01-10", "2026-02-05", gone=True))
    assert rows(folder, "select gone_at is not null from accounts") == [(True,)]
    assert ask(folder, "close", "--month", SECOND, "--json") == GOOD
    assert [(one["month"], one["complete"]) for one in printed_json(capsys)["closed"]] == [(FIRST, True), (SECOND, True)]
    assert faults(folder, capsys) == []


def ruled(folder: Path) -> None:
    """Writes a rule that no run has applied yet."""
    (folder / "seeds").mkdir()
    columns = "rule,account_id,counterparty,iban,text,direction,ledger_account"
    (folder / "seeds" / "rules.csv").write_text(f"{columns}\nr,,,,x,out,Expenses:Travel\n")


def test_a_month_is_closed_as_the_rules_are_now_though_no_run_has_applied_them(folder: Path) -> None:
    ruled(folder)
    assert ask(folder, "close", "--month", FIRST) == GOOD
    assert rows(folder, "select distinct ledger_account from closed_postings where not is_bank and kind = 'transaction'") == [
        ("Expenses:Travel",)
    ]
    assert rows(folder, "select count(*) from corrections") == [(0,)]


def test_entries_that_are_booked_otherwise_now_are_counted_beside_the_closed_months(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "close", "--month", FIRST) == GOOD
    ruled(folder)
    assert ask(folder, "transform") == GOOD

    assert faults(folder, capsys) == []
    assert ask(folder, "close", "--list") == GOOD
    said = " ".join(capsys.readouterr().out.split())
    assert "2 entries of closed months are booked on other accounts now" in said
    assert rows(folder, "select distinct cause, booked_on from corrections") == [("reclassified", date(2026, 2, 1))]
    assert rows(folder, "select sum(changed_transactions) from closings") == [(0,)]
    assert ask(folder, "reopen", "--month", FIRST, "--reason", "the new rules") == GOOD
    assert ask(folder, "close", "--month", FIRST) == GOOD
    assert rows(folder, "select count(*) from corrections") == [(0,)]


def test_a_correction_is_in_each_journal_once_before_and_after_the_month_that_holds_it_is_closed(folder: Path) -> None:
    def corrected() -> list[str]:
        assert ask(folder, "export", "--format", "beancount") == GOOD
        entries = (folder / "export" / "ledger.beancount").read_text().split("\n\n")
        return [one for one in entries if "Correction of 2026-01" in one]

    assert ask(folder, "close", "--month", FIRST) == GOOD
    ruled(folder)
    assert ask(folder, "transform") == GOOD
    open_ones = corrected()
    assert [one[:10] for one in open_ones] == ["2026-02-01"] * 2
    assert ask(folder, "close", "--month", SECOND) == GOOD
    assert corrected() == open_ones
    assert rows(folder, "select count(*) from corrections") == [(0,)]

    # The rule goes, and with it what the closed correction was about: the correction of a correction
    (folder / "seeds" / "rules.csv").unlink()
    assert ask(folder, "transform") == GOOD
    assert [one[:10] for one in corrected()] == ["2026-02-01"] * 2 + ["2026-03-01"] * 2
    assert rows(folder, "select ledger_account, sum(amount) from corrections group by all order by all") == [
        ("Expenses:Travel", Decimal("-30.00")),
        ("Expenses:Uncategorised", Decimal("30.00")),
    ]


def test_a_ledger_that_cannot_be_built_closes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "seeds").mkdir()
    (folder / "seeds" / "rules.csv").write_text("no,such,columns\n")
    with pytest.raises(Failure):
        ask(folder, "close", "--month", FIRST)
    assert trail_of(load_settings(data_dir=folder)) == []
    assert rows(folder, "select count(*) from closings") == [(0,)]
