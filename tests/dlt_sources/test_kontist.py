"""Kontist as a dlt source: `pipeline.run(kontist())` into three kinds of destination."""

import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.read.options import Options
from sources._errors import Unavailable
from sources.kontist import kontist
from sources.sandbox import BadRow, TooManyRequests
from tests.dlt_sources.desk import desk
from tests.patience import patient
from tests.support import ROOT, read, rows


@pytest.mark.parametrize("destination", ["duckdb", "postgres", "filesystem", "without versions"], indirect=True)
def test_a_destination_follows_the_bank(destination: Any) -> None:
    with desk(destination) as own:
        main, linked_later = own.accounts
        own.world.accounts.remove(linked_later)
        deleted = own.world.append(main, amount="-8.00", day=own.world.today - timedelta(days=3))
        edited = own.world.append(main, amount="-9.00")
        moved = own.world.append(main, amount="-10.00", day=own.world.today - timedelta(days=60))
        moved_back = own.world.append(main, amount="-11.00", day=own.world.today - timedelta(days=10))

        own.load("transactions", "accounts")
        first = own.stored()
        assert own.present() == own.shown()

        own.load("transactions", "accounts")  # nothing new
        assert (own.stored(), own.stored("accounts")) == (first, 1)

        own.world.append(main, amount="12.34", party="A sign\x00that PostgreSQL does not store")
        own.world.correct(edited, amount="-9.50")
        own.world.correct(moved, day=own.world.today - timedelta(days=1))  # from before the window into it
        own.world.correct(moved_back, day=own.world.today - timedelta(days=55))  # and out of it
        own.world.delete(deleted)  # its day is empty now
        own.load("transactions", "accounts")
        assert own.present() == own.shown()
        # new, edited, moved twice; the deletion, where it is a row; or what is left
        added = {"versions": 4, "news": 5, "rows": 0}
        assert own.stored() == first + added[own.keeps]

        own.world.accounts.append(linked_later)
        own.load("transactions", "accounts")
        assert own.present() == own.shown()


def test_the_rows_are_those_of_the_ledgers_own_run(in_duckdb: Any, tmp_path: Path) -> None:
    with desk(in_duckdb) as own:
        own.load()
        read(own.bank, tmp_path / "data", Options(("kontist",)), ledger=False)

        for name in ("transactions", "accounts", "standing_orders", "timed_orders"):
            columns = own.pipeline.default_schema.get_table_columns(name)
            wanted = ", ".join(column for column in columns if not column.startswith("_dlt"))
            ours = own.query(f"select {wanted} from {name}")
            ledgers = rows(tmp_path / "data", f"select {wanted} from kontist.{name}", of="raw")
            assert (len(ours) > 0, sorted(map(repr, ours))) == (True, sorted(map(repr, ledgers))), name


def test_the_live_service_brings_the_same_rows(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        world, kept = own.world, list[str]()
        login = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
        with pytest.raises(ConfigFieldMissingException, match="refresh_token"):
            own.load(dialect="graphql", **login)
        oauth = own.bank.kontist.oauth
        oauth.rotates = True
        own.load(
            dialect="graphql", refresh_token=oauth.pair()[1], email=None, password=None, on_new_refresh_token=kept.append, **login
        )
        assert Counter(cents for (cents,) in own.query("select amount_cents from transactions")) == Counter(
            row.cents for account in own.accounts for row in account.transactions
        )
        assert (own.stored("accounts"), len(kept), own.bank.count("GET", "/api/accounts")) == (2, 1, 0)
        assert own.stored("timed_orders") > 0


def test_fields_that_the_live_service_refuses_are_not_asked_for_by_the_next_load(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        world, lacks = own.world, {"Account.bic", "Transaction.fees"}
        own.bank.kontist.graphql.lacks = lacks
        token = own.bank.kontist.oauth.pair()[1]
        login = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret, "refresh_token": token}

        def asked() -> int:
            before = own.bank.count("POST", "/graphql")
            own.load("transactions", "accounts", dialect="graphql", email=None, password=None, **login)
            return own.bank.count("POST", "/graphql") - before

        asked()
        nothing_new = asked()
        lacks.add("Transaction.personalNote")
        assert [asked(), asked()] == [nothing_new + 1, nothing_new]


def test_only_the_selected_resources_are_asked_for_and_the_accounts_once(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        own.load("transactions")

        assert set(own.pipeline.default_schema.data_table_names()) == {"transactions"}
        assert (own.bank.count("GET", "orders"), own.bank.requests.count(("GET", "/api/accounts"))) == (0, 1)
        assert own.present() == own.shown()


def test_since_is_where_an_account_without_a_cursor_begins_and_end_value_fills_in_what_is_before(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        since = own.world.today - timedelta(days=200)
        begun = since - timedelta(days=100)
        days = {str(row.id): row.day for one in own.accounts for row in one.transactions}

        own.load(since=since.isoformat())
        assert set(own.present()) == {one for one, day in days.items() if day >= since}

        cursors = own.cursors
        own.load(initial_value=begun, end_value=since)
        assert set(own.present()) == {one for one, day in days.items() if day >= begun}
        assert own.cursors == cursors


def test_an_old_row_that_is_edited_or_deleted_is_followed_by_the_next_full_read(in_duckdb: Any) -> None:
    with desk(in_duckdb, page_size=2) as own:
        edited, deleted = own.accounts[0].transactions[-2:]
        own.load("transactions")
        before = own.present()
        own.world.correct(edited, amount="-77.00")
        own.world.delete(deleted)

        own.load("transactions")  # the last weeks only; each account's own, though the other one's begin months before
        assert own.present() == before
        own.load("transactions", full_read_days=0)
        assert own.present() == own.shown()


def test_a_write_disposition_of_ones_own_is_followed_unless_it_would_lose_rows(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        own.keeps = "news"
        own.pipeline.run(own.source().with_resources("transactions"), write_disposition="append")
        own.world.append(own.accounts[0], amount="-1.00")
        own.pipeline.run(own.source().with_resources("transactions"), write_disposition="append")
        assert (own.present(), own.stored()) == (own.shown(), len(own.shown()))

        with pytest.raises(PipelineStepFailed, match="only `append` and `merge` are possible"):
            own.pipeline.run(own.source(), write_disposition="replace")
        with pytest.raises(PipelineStepFailed, match="holds appended changes and cannot go on with versions"):
            own.load("transactions")


def test_a_bank_that_refuses_leaves_the_cursor_where_it_was(in_duckdb: Any) -> None:
    with desk(in_duckdb) as own:
        own.load("transactions")
        cursors = own.cursors
        own.world.append(own.accounts[0], amount="-1.00")
        own.bank.faults.append(TooManyRequests(times=1, retry_after=3600, path_contains="transactions"))

        with pytest.raises(PipelineStepFailed) as failed:
            own.load("transactions")
        assert isinstance(failed.value.exception.__cause__, Unavailable)
        assert "kontist: the bank says that we ask too often" in str(failed.value)
        assert own.world.kontist_password not in str(failed.value) + str(own.pipeline.last_trace.asdict())
        assert own.cursors == cursors

        own.bank.faults.clear()
        own.load("transactions")
        assert own.present() == own.shown()


KILLED = """
import os, signal, dlt
from sources.kontist import kontist
pipeline = dlt.pipeline("bank", destination=dlt.destinations.duckdb("bank.duckdb"), dataset_name="kontist")
pipeline.extract(kontist())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_between_extract_and_load_loses_nothing(in_duckdb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run loads what was extracted, and the cursor with it; until then the destination has the ones before."""
    with desk(in_duckdb) as own:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("SOURCES__KONTIST__BASE_URL", own.bank.url)
        monkeypatch.setenv("SOURCES__KONTIST__EMAIL", own.world.kontist_email)
        monkeypatch.setenv("SOURCES__KONTIST__PASSWORD", own.world.kontist_password)
        own.load()
        loaded = own.pipeline.state["sources"]
        own.world.append(own.accounts[0], amount="-1.00")
        died = subprocess.run([sys.executable, "-c", KILLED], timeout=patient(60), check=False, capture_output=True, text=True)
        assert died.returncode == -9, died.stderr

        elsewhere = dlt.pipeline("bank", pipelines_dir="elsewhere", destination=in_duckdb, dataset_name="kontist")
        elsewhere.sync_destination()
        assert elsewhere.state["sources"] == loaded

        asked = len(own.bank.requests)
        own.pipeline = dlt.pipeline("bank", destination=in_duckdb, dataset_name="kontist")
        own.pipeline.run()
        assert (own.present(), len(own.bank.requests)) == (own.shown(), asked)
        elsewhere.sync_destination()
        assert elsewhere.state["sources"] == own.pipeline.state["sources"] != loaded


def test_without_a_login_dlt_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigFieldMissingException) as missing:
        kontist()

    assert "SOURCES__KONTIST__EMAIL" in str(missing.value)


@pytest.mark.parametrize("destination", ["duckdb", "filesystem"], indirect=True)
def test_a_row_that_cannot_be_understood_is_in_quarantine_once_and_its_neighbours_load(destination: Any) -> None:
    with desk(destination) as own:
        own.bank.faults.append(BadRow(account=own.accounts[0].name))
        own.load("transactions")
        own.load("transactions")

        assert own.present() == own.shown()
        ((reason, payload),) = own.query("select reason, payload from quarantine")
        assert (reason, "text of" in payload) == ("amount is not a whole number of cents", True)


@pytest.mark.parametrize("destination", ["duckdb", "filesystem", "without versions"], indirect=True)
def test_a_change_of_the_dialect_doubles_no_row_whether_all_is_read_again_or_the_last_days(destination: Any) -> None:
    with desk(destination) as own:
        world, oauth = own.world, own.bank.kontist.oauth
        live = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret, "dialect": "graphql"}
        amounts = sorted(own.shown().values())
        own.load("transactions")
        for _ in range(2):
            own.load("transactions", **live, refresh_token=oauth.pair()[1])
            assert sorted(own.present().values()) == amounts
        own.load("transactions")
        assert sorted(own.present().values()) == amounts
