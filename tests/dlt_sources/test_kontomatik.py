"""Kontomatik as a dlt source: one import through one consent, into three kinds of destination."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.read.options import Options
from sources.kontomatik import kontomatik
from sources.sandbox import BadRow, CommandFails, PartialDueToTimeout, Refuses
from tests.dlt_sources.desk import kontomatik_desk
from tests.support import read, rows


def test_a_destination_follows_the_bank(destination: Any) -> None:
    with kontomatik_desk(destination) as own:
        main, *_, linked_later = own.accounts
        own.world.accounts.remove(linked_later)
        today = own.world.today
        deleted = own.world.append(main, amount="-8.00", day=today - timedelta(days=3))
        edited = own.world.append(main, amount="-9.00", description="before")
        twins = [own.world.append(main, amount="-10.00", day=today) for _ in range(2)]

        own.load("transactions", "accounts")
        first = own.stored()
        assert own.present() == own.shown()

        own.load("transactions", "accounts")  # nothing new
        assert own.stored() == first

        own.world.append(main, amount="12.34")
        own.world.correct(edited, description="after")
        own.world.delete(deleted)  # its day is empty now
        own.world.delete(twins[0])
        own.load("transactions", "accounts")
        assert own.present() == own.shown()

        own.world.accounts.append(linked_later)
        own.load("transactions", "accounts")  # the account is seen for the first time, from the first day of a usual read on
        own.load("transactions", "accounts")
        assert own.present() == own.shown()
        assert own.bank.count("POST", "reuse") == 5


@pytest.mark.parametrize("dialect", ["live", "openapi"])
def test_the_rows_are_those_of_the_ledgers_own_run(in_duckdb: Any, tmp_path: Path, dialect: Any) -> None:
    with kontomatik_desk(in_duckdb, dialect) as own:
        own.load("transactions", "accounts", "owners")
        read(own.bank, tmp_path / "data", Options(("kontomatik",)), ledger=False)

        kept = {"transactions": set(), "accounts": {"consent_id", "row_version"}, "owners": {"consent_id", "row_version"}}
        kept["owners"] |= {"person_key", "document_key"}  # need the key of a vault
        for name, not_ours in kept.items():
            columns = own.pipeline.default_schema.get_table_columns(name)
            wanted = ", ".join(column for column in columns if not column.startswith("_dlt") and column not in not_ours)
            reach = f" where window_on >= '{own.world.today - timedelta(days=89)}'" if name == "transactions" else ""
            ours = own.query(f"select {wanted} from {name}")
            ledgers = rows(tmp_path / "data", f"select {wanted} from kontomatik.{name}{reach}", of="raw")
            assert (len(ours) > 0, sorted(map(repr, ours))) == (True, sorted(map(repr, ledgers))), name


def test_all_resources_together_cost_one_import_and_the_catalog_costs_none(in_duckdb: Any) -> None:
    with kontomatik_desk(in_duckdb) as own:
        own.bank.faults.append(BadRow(times=1))
        own.load()
        assert own.bank.count("POST", "reuse") == 1
        tables = {"owners", "accounts", "transactions", "institutions", "quarantine"}
        assert set(own.pipeline.default_schema.data_table_names()) == tables

        own.load("institutions")
        assert own.bank.count("POST", "reuse") == 1


LONG_AGO = """
    insert into transactions
    select * replace (transaction_id || '-old' as transaction_id, 'old' as row_version, date '2025-01-01' as window_on)
    from transactions limit 1
"""


def test_since_is_where_a_consent_begins_and_end_value_fills_in_what_is_before(in_duckdb: Any) -> None:
    with kontomatik_desk(in_duckdb) as own:
        since = own.world.today - timedelta(days=30)
        own.load("transactions", since=since)
        assert own.present() == {row: count for row, count in own.shown().items() if row[0] >= str(since)}

        cursors = own.cursors
        own.query(LONG_AGO)
        own.load("transactions", initial_value="2024-01-01", end_value=since)
        reached = str(own.world.today - timedelta(days=88))
        assert {row for row in own.present() if row[0] >= reached} == {row for row in own.shown() if row[0] >= reached}
        assert "2025-01-01" in {row[0] for row in own.present()}  # a reused consent no longer shows it: that is no deletion
        assert own.cursors == cursors


def test_what_is_booked_late_arrives_with_the_next_far_read(in_duckdb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with kontomatik_desk(in_duckdb) as own:
        own.load("transactions")
        own.world.append(own.accounts[0], amount="-7.00", day=own.world.today - timedelta(days=20))

        own.load("transactions")
        assert own.present() != own.shown()
        monkeypatch.setattr("sources.kontomatik.source.FAR_READ_DAYS", 0)
        own.load("transactions")
        assert own.present() == own.shown()


def test_an_answer_that_was_cut_short_removes_nothing(in_duckdb: Any) -> None:
    with kontomatik_desk(in_duckdb, transactions=8) as own:
        for days_ago in (1, 60, 1, 60, 1, 60):
            own.world.append(own.accounts[0], amount="-1.00", day=own.world.today - timedelta(days=days_ago))
        own.load("transactions", "accounts")
        whole = own.present()
        own.bank.faults.append(PartialDueToTimeout(times=1, account=own.accounts[0].name))
        own.world.accounts.remove(own.accounts[-1])
        own.load("transactions", "accounts", lag=70)
        listed = "select count(*) from accounts where _dlt_valid_to is null"
        assert (own.present(), own.query(listed)) == (whole, [(len(own.accounts) + 1,)])

        own.load("transactions", "accounts")
        assert own.query(listed) == [(len(own.accounts),)]
        assert len(own.cursors["resources"]["transactions"]["accounts"]) == len(own.accounts)


@pytest.mark.parametrize(
    "fault",
    [Refuses(times=1, exception="MultipleAccessLimitExceeded", status=429), CommandFails(times=1)],
    ids=["quota", "command"],
)
def test_a_bank_that_refuses_leaves_the_cursor_where_it_was_and_shows_no_secret(in_duckdb: Any, fault: Any) -> None:
    with kontomatik_desk(in_duckdb) as own:
        own.bank.faults.append(fault)
        with pytest.raises(PipelineStepFailed, match="kontomatik: ") as failed:
            own.load("transactions")

        result = str(failed.value) + str(own.pipeline.last_trace.asdict())
        assert [secret in result for secret in (own.token, own.world.kontomatik_api_key)] == [False, False]
        own.load("transactions")
        assert own.present() == own.shown()


def test_without_a_consent_dlt_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__KONTOMATIK__API_KEY", "key")
    with pytest.raises(ConfigFieldMissingException, match="SOURCES__KONTOMATIK__MULTIPLE_ACCESS_TOKEN"):
        kontomatik()


def test_two_consents_share_a_destination_also_in_one_load(in_duckdb: Any) -> None:
    present = "select consent_id, count(*) from {} where _dlt_valid_to is null group by all order by all"
    with kontomatik_desk(in_duckdb, transactions=80) as own:
        both = [own.source(consent_id=name).with_resources("owners", "accounts", "transactions") for name in ("ada", "ben")]
        own.pipeline.run(both)
        assert own.present() == own.shown()
        ((_, accounts),) = own.query(present.format("accounts"))
        assert accounts == len(own.accounts)

        own.load("owners", "accounts", consent_id="ben")
        assert own.query(present.format("accounts")) == [("ben", accounts)]  # each once: it was read through this consent last
        (ada, owners), ben = own.query(present.format("owners"))
        assert (ada, ben) == ("ada", ("ben", owners))
