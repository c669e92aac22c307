"""Every check fails when it should: a good ledger is spoiled in one way, and the check for that way must see it."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.ledger.worlds import LEDGER, MODELS, RICH, built, raw_file
from transforms.build import VIEWS, build
from transforms.checks import check, check_header, run_checks, singular
from transforms.errors import LedgerUnreadable, RawUnreadable

ONE = "rowid = (select min(rowid) from {table})"
SPOILED = {
    "every_transaction_once": [
        "delete from ledger.transactions where source_transaction_id = '1'",
        "insert into ledger.transactions select * from ledger.transactions where source_transaction_id = '1'",
        "update ledger.transactions set amount = amount + 0.01 where source_transaction_id = '1'",
        "update ledger.transactions set transaction_id = 'kontist:a:11' where source_transaction_id = '1'",
        "update ledger.transactions set account_id = 'kontist:b' where source_transaction_id = '1'",
        "update ledger.transactions set amount = null where source_transaction_id = '1'",
        "delete from ledger.transactions where source = 'kontist'",
        "delete from raw.kontist.transactions",
        "delete from ledger.transactions where source = 'kontomatik' and status = 'pending'",
        "insert into ledger.transactions select * from ledger.transactions where source = 'kontomatik' limit 1",
        "update ledger.transactions set amount = amount + 0.01 where source = 'kontomatik' and status = 'pending'",
        "update ledger.transactions set currency = 'EUR' where source = 'kontomatik' and status = 'pending'",
        "delete from ledger.transactions where source = 'kontomatik'",
        "delete from raw.kontomatik.transactions",
    ],
    "every_other_row_once": [
        "delete from ledger.standing_orders",
        "update ledger.standing_orders set amount = amount - 0.01",
        "update ledger.standing_orders set order_id = 'other'",
        "delete from ledger.timed_orders",
        "update ledger.timed_orders set amount = null",
        "delete from ledger.order_history where order_kind = 'timed'",
        "update ledger.order_history set amount = amount - 0.01",
        "delete from ledger.imports where source = 'kontist'",
        "delete from ledger.consents",
        "delete from ledger.quarantine where source = 'kontomatik'",
        "delete from ledger.holes",
        "update ledger.holes set to_on = to_on + 1",
        "delete from ledger.institutions",
        "delete from ledger.accounts where source = 'kontist'",
    ],
    "every_detail_once": [
        "delete from ledger.transaction_details",
        "update ledger.transaction_details set invoice_number = 'other'",
        "update ledger.transaction_details set personal_note = null",
        "update ledger.transaction_details set user_selected_booking_on = '2026-03-01'",
    ],
    "memos_move_nothing": [
        "update ledger.transactions set status = 'pending' where status = 'memo'",
        "update ledger.transactions set status = 'memo' where status = 'pending' and source = 'kontist'",
        "update ledger.transactions set booked_on = transaction_on where status = 'memo'",
        "update ledger.transactions set counterparty_id = 'c-1' where status = 'memo'",
        "update ledger.transactions set transfer_id = 't-1' where status = 'memo'",
        "insert into ledger.postings by name select transaction_id, account_id from ledger.transactions where status = 'memo'",
    ],
    "every_version_once": [
        "delete from ledger.transaction_history where change = 'changed'",
        "delete from ledger.transaction_history where source = 'kontomatik'",
        "update ledger.transaction_history set valid_from = valid_from + interval 1 second where change = 'changed'",
    ],
    "files_hold_every_entry": [
        "delete from ledger.file_entries",
        "update ledger.file_entries set amount = amount + 0.01",
        "update ledger.file_entries set status = 'shown'",
    ],
    "history_ends_in_transactions": [
        "update ledger.transactions set description = 'another' where source_transaction_id = '2'",
        "update ledger.transactions set labels = ['a'] where source = 'kontomatik'",
        "delete from ledger.transactions where status = 'pending'",
        "update ledger.transaction_history set valid_to = valid_from where source_transaction_id = '1'",
    ],
    "history_without_gaps": [
        "update ledger.transaction_history set valid_to = valid_to + interval 1 second where valid_to is not null",
        "update ledger.transaction_history set valid_to = null",
        "update ledger.transaction_history set valid_to = valid_from where source_transaction_id = '1'",
        "update ledger.transaction_history set change = 'new' where change = 'changed'",
        "update ledger.transaction_history set change = 'changed' where source_transaction_id = '1'",
        "delete from ledger.transaction_history where change = 'removed'",
    ],
    "no_float_column": [
        "alter table ledger.transactions alter amount type double",
        "alter table ledger.accounts add column rates float[]",
    ],
    "column_types": [
        "alter table ledger.transactions alter amount type decimal(19, 2)",
        "alter table ledger.transactions alter original_amount type decimal(18, 2)",
        "alter table ledger.balances_daily alter money_in type decimal(38, 2)",
        "alter table ledger.balances_daily alter day type timestamp",
        "alter table ledger.transactions alter booked_on type varchar",
        "alter table ledger.imports alter finished_at type timestamp",
        "alter table ledger.transaction_history alter valid_to type varchar",
    ],
    "comments_complete": [
        "comment on table ledger.main.accounts is null",
        "comment on column ledger.main.accounts.balance is null",
        "comment on column ledger.main.accounts.balance is ''",
        "alter table ledger.accounts add column note varchar",
    ],
    "balances_tie": [
        "update ledger.accounts set balance = balance + 0.01 where source = 'kontist'",
        "update ledger.accounts set balance = null where source = 'kontist'",
        "delete from ledger.accounts where source = 'kontist'",
        "delete from ledger.balances_daily where account_id = 'kontist:a'",
        "update ledger.balances_daily set closing_balance = null",
        "update ledger.balances_daily set bank_balance = bank_balance + 0.01",
    ],
    "balances_follow": [
        "update ledger.balances_daily set difference_amount = 0.01 where day = '2026-03-02'",
        "update ledger.balances_daily set opening_balance = opening_balance + 0.01 where day = '2026-03-03'",
        "update ledger.balances_daily set closing_balance = closing_balance + 0.01 where day = '2026-03-01'",
        "update ledger.balances_daily set money_in = money_in + 0.01 where day = '2026-03-02'",
        "update ledger.balances_daily set closing_balance = null where day = '2026-03-02'",
        "delete from ledger.balances_daily where day = '2026-03-02'",
    ],
    "balances_hold_every_movement": [
        "delete from ledger.balances_daily where day = '2026-03-01'",
        "update ledger.balances_daily set money_in = money_in + 1, money_out = money_out - 2 where day = '2026-03-02'",
        "update ledger.balances_daily set transactions = 0",
        "update ledger.transactions set status = 'booked'",
    ],
    "unknown_balances": [
        "update ledger.balances_daily set proof = 'unknown'",
        "update ledger.balances_daily set closing_balance = null",
        "update ledger.balances_daily set opening_balance = null",
    ],
    "pending_not_booked": [
        "update ledger.transactions set booked_on = transaction_on where status = 'pending'",
        "update ledger.transactions set booked_on = null",
    ],
    "postings_balance": [
        "delete from ledger.postings where leg = 2 and account_id = 'kontomatik:a'",
        "update ledger.postings set amount = amount + 0.01 where leg = 2 and account_id = 'kontomatik:a'",
        "update ledger.postings set amount = amount + 0.01 where account_id = 'kontomatik:a'",
        "update ledger.postings set booked_on = booked_on + 1",
        "insert into ledger.postings select * replace ('other' as transaction_id) from ledger.postings limit 2",
        "update ledger.postings set reporting_amount = reporting_amount + 0.01 where leg = 2 and account_id = 'kontomatik:a'",
        "update ledger.transactions set status = 'booked'",
        "delete from ledger.postings where account_id = 'kontomatik:a'",
        "update ledger.postings set amount = amount + 0.01 where leg = 5",
        "delete from ledger.postings where leg > 4",
        "insert into ledger.postings select * replace (2 as leg) from ledger.postings where leg > 4",
        "insert into ledger.postings select * replace (0 as leg, 0 as amount, 0 as reporting_amount) from ledger.postings",
    ],
    "every_split_once": [
        "delete from ledger.transaction_splits where split = 2",
        "delete from ledger.transaction_splits",
        "update ledger.transaction_splits set amount = amount + 0.01 where split = 1",
        "insert into ledger.transaction_splits select * replace (split + 2 as split) from ledger.transaction_splits",
        "update ledger.transaction_splits set transaction_id = 'kontist:a:2'",
    ],
    "splits_are_posted": [
        "update ledger.transaction_splits set amount = amount + 0.01 where split = 1",
        "update ledger.transaction_splits set status = 'unequal' where split = 1",
        "update ledger.transaction_splits set status = 'unequal'",
        "delete from ledger.transaction_splits where split = 2",
        "update ledger.postings set leg = 7 where leg = 6",
        "update ledger.transactions set status = 'pending'",
        "update ledger.transactions set amount = amount + 0.01",
    ],
    "tax_legs_follow_their_net_legs": [
        "update ledger.postings set amount = amount - 0.01 where leg = 1005",
        "update ledger.postings set amount = amount - 1 where leg = 5",
        "update ledger.postings set vat_code = 'VAT_7' where leg = 1005",
        "update ledger.postings set vat_percent = 7 where leg > 4",
        "update ledger.postings set vat_percent = null where leg = 5",
        "update ledger.postings set vat_percent = null where leg > 4",
        "update ledger.postings set vat_code = null where leg = 5",
        "delete from ledger.postings where leg = 5",
        "delete from ledger.postings where leg = 1005",
        "insert into ledger.postings select * replace (2005 as leg) from ledger.postings where leg = 1005",
    ],
    "vat_monthly_holds_every_tax_leg": [
        "update ledger.vat_monthly set amount = amount + 0.01 where figure = 'output_tax'",
        "update ledger.vat_monthly set amount = amount + 0.01 where figure = 'net'",
        "update ledger.vat_monthly set side = 'purchase' where figure = 'net'",
        "update ledger.vat_monthly set movements = movements + 1",
        "delete from ledger.vat_monthly",
        "delete from ledger.postings where leg = 1005",
        "update ledger.postings set vat_code = null",
    ],
    "euer_lines_hold_every_movement": [
        "update ledger.euer_lines set amount = amount + 0.01",
        "delete from ledger.euer_lines where line = 'vat_received'",
        "delete from ledger.euer_lines",
        "update ledger.transactions set amount = amount + 0.01 where source_transaction_id = '1'",
    ],
    "postings_on_the_right_accounts": [
        "update ledger.postings set ledger_account = 'Assets:Transit' where leg = 1",
        "update ledger.postings set ledger_account = 'Assets:Bank:Kontist:A' where leg = 2",
        "update ledger.postings set ledger_account = 'Assets:Bank:Kontist:B' where leg = 1 and account_id = 'kontist:a'",
    ],
    "transfers_cancel": [
        "update ledger.transfers set in_amount = in_amount + 0.01",
        "update ledger.transfers set in_account_id = out_account_id",
        "update ledger.transfers set arrived_on = left_on + 11",
        "update ledger.transfers set in_currency = 'PLN'",
        "update ledger.transfers set evidence = 'exchange'",
        "update ledger.transfers set out_amount = 1, in_amount = -1",
        "insert into ledger.transfers select * replace ('t-other' as transfer_id) from ledger.transfers",
    ],
    "transfers_are_transactions": [
        "update ledger.transfers set status = 'suggested'",
        "update ledger.transactions set transfer_id = 't-other' where transfer_id is not null",
        "update ledger.transactions set transfer_id = null",
        "update ledger.transfers set out_amount = out_amount - 0.01",
        "update ledger.transfers set in_account_id = 'kontomatik:a'",
        "delete from ledger.transfers",
        "delete from ledger.transactions where transfer_id is not null and amount > 0",
    ],
    "transit_is_told": [
        "delete from ledger.in_transit",
        "update ledger.in_transit set amount = amount + 0.01",
        "update ledger.postings set ledger_account = 'Equity:Private' where ledger_account = 'Assets:Transit' and amount > 5",
    ],
    "overdue_transit": [
        "update ledger.in_transit set overdue = true",
        "update ledger.in_transit set days = 11",
        "update ledger.in_transit set days = -1",
    ],
    "coverage_has_every_day": [
        "delete from ledger.coverage where day = '2026-03-02'",
        "delete from ledger.coverage where account_id = 'kontist:b'",
        "update ledger.coverage set day = day + 7 where day = '2026-03-02'",
        "delete from ledger.balances_daily where account_id = 'kontist:b'",
    ],
    "differences_are_told": [
        "update ledger.coverage set proof = 'differs'",
        "update ledger.coverage set difference_amount = 0.01 where day = '2026-03-02'",
        "update ledger.coverage set proof = 'differs', difference_amount = 0.01, differs_since = day + 1",
        "update ledger.coverage set import_id = null where status = 'seen'",
        "update ledger.coverage set status = 'unseen'",
        "update ledger.balances_daily set difference_amount = 0",
        "update ledger.balances_daily set proof = 'derived'",
    ],
    "cash_flow_holds_every_posting": [
        "update ledger.cash_flow_monthly set net_amount = net_amount + 0.01",
        "update ledger.cash_flow_monthly set money_in = money_in + 0.01",
        "update ledger.cash_flow_monthly set transactions = 0",
        "delete from ledger.cash_flow_monthly where account_id = 'kontomatik:a'",
        "update ledger.transactions set status = 'booked'",
    ],
    "rates_are_never_made_up": [
        "delete from ledger.exchange_rates",
        "update ledger.exchange_rates set day = day - 8",
        "update ledger.exchange_rates set day = day + 3",
        "update ledger.postings set reporting_amount = 1 where currency = reporting_currency",
        "update ledger.postings set reporting_amount = null where currency = reporting_currency",
    ],
    "forecast_follows": [
        "update ledger.cash_forecast set opening_balance = opening_balance + 0.01",
        "update ledger.cash_forecast set closing_balance = closing_balance + 0.01 where day = '2026-03-06'",
        "update ledger.cash_forecast set expected_out = expected_out - 0.01 where day = '2026-03-06'",
        "delete from ledger.cash_forecast where day = '2026-03-06'",
        "update ledger.cash_forecast set inferred_in = expected_in + 0.01",
        "update ledger.cash_forecast set inferred_out = 0.01",
        "delete from ledger.expected_payments where order_kind = 'timed'",
        "update ledger.accounts set balance = balance + 1",
    ],
    "payments_fulfil_one_promise": [
        "update ledger.expected_payments set transaction_id = 'kontist:a:5'",
        "update ledger.expected_payments set transaction_id = null",
        "update ledger.expected_payments set transaction_id = 'nobody' where transaction_id is not null",
        "update ledger.expected_payments set paid_amount = -2 where transaction_id is not null",
        "update ledger.expected_payments set status = 'executed'",
    ],
    "corrections_cancel": [
        "update ledger.corrections set amount = amount + 0.01 where is_bank",
        "update ledger.corrections set amount = amount + 0.01",
        "delete from ledger.corrections",
        "update ledger.closed_postings set amount = amount + 0.01 where is_bank",
        "delete from ledger.closed_postings where not is_bank",
    ],
    "signs": [
        "update ledger.balances_daily set money_in = -1",
        "update ledger.balances_daily set money_out = 1",
        "update ledger.standing_orders set amount = 800",
        "update ledger.timed_orders set amount = 12.34",
    ],
}


@pytest.fixture(scope="module")
def ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    """A good ledger; a test spoils it in a transaction that is rolled back."""
    with built(RICH) as connection:
        yield connection


@pytest.fixture
def spoilt(ledger: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    ledger.execute("begin")
    yield ledger
    ledger.execute("rollback")


def test_a_good_ledger_passes_every_check(ledger: duckdb.DuckDBPyConnection) -> None:
    assert [result.name for result in run_checks(ledger, MODELS) if not result.passed] == []


def test_the_good_ledger_has_a_row_in_every_table(ledger: duckdb.DuckDBPyConnection) -> None:
    assert [table for table in LEDGER if ledger.execute(f"select count(*) from ledger.{table}").fetchone() == (0,)] == []


def test_every_check_has_a_way_to_fail_here() -> None:
    assert set(SPOILED) == {name for name, _, _ in singular()}


@pytest.mark.parametrize(("name", "statement"), [(name, way) for name, ways in SPOILED.items() for way in ways])
def test_a_check_sees(spoilt: duckdb.DuckDBPyConnection, name: str, statement: str) -> None:
    spoilt.execute(statement)
    query = next(sql for one, _, sql in singular() if one == name)

    assert spoilt.execute(f"select count(*) from ({query})").fetchone() != (0,)


def headers() -> Iterator[tuple[str, str, str]]:
    """Table, name of the check, and what breaks it."""
    for model in MODELS:
        if model.layer == "ledger" and model.name not in VIEWS:
            table, one = model.table, ONE.format(table=model.table)
            yield table, f"{model.name}.grain", f"insert into {table} select * from {table} where {one}"
            for column in model.grain:
                yield table, f"{model.name}.not_null({column})", f"update {table} set {column} = null where {one}"
            for promise in (one for one in model.checks if one.kind != "joins"):
                value = "null" if promise.kind == "not_null" else "0" if promise.column == "leg" else "'nobody'"
                name = f"{model.name}.{promise.kind}({promise.column})"
                yield table, name, f"update {table} set {promise.column} = {value} where {one}"


@pytest.mark.parametrize(("table", "name", "statement"), list(headers()))
def test_a_header_check_sees(spoilt: duckdb.DuckDBPyConnection, table: str, name: str, statement: str) -> None:
    spoilt.execute(statement)
    model = next(model for model in MODELS if model.table == table)

    assert 1 in [result.failed_rows for result in check_header(spoilt, model) if result.name == name]


def test_every_promise_of_a_header_is_checked_under_its_own_name(ledger: duckdb.DuckDBPyConnection) -> None:
    names = [result.name for result in run_checks(ledger, MODELS)]

    assert len(names) == len(set(names))
    assert {name for _, name, _ in headers()} <= set(names)


def test_a_result_holds_a_sentence_and_a_number_and_no_row(spoilt: duckdb.DuckDBPyConnection) -> None:
    spoilt.execute("update ledger.transactions set amount = 4711.42 where source_transaction_id = '1'")
    failed = [result for result in run_checks(spoilt, MODELS) if not result.passed]

    assert failed
    assert all(result.meaning.endswith(".") for result in failed)
    assert not any("4711" in repr(result) or "kontist:" in repr(result) for result in failed)


def test_a_published_file_is_checked_again(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", RICH)
    ledger = build(raw, tmp_path / "ledger.duckdb").path
    assert [result.name for result in check(raw, ledger) if not result.passed] == []

    with duckdb.connect(ledger) as connection:
        connection.execute("update transactions set amount = amount + 0.01 where source_transaction_id = '1'")

    assert {
        "every_transaction_once",
        "history_ends_in_transactions",
        "balances_hold_every_movement",
        "postings_balance",
        "cash_flow_holds_every_posting",
        "splits_are_posted",
        "euer_lines_hold_every_movement",
    } == {result.name for result in check(raw, ledger) if not result.passed}


def test_a_ledger_that_is_none_says_how_to_build_it_again(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", {})
    broken, other = tmp_path / "broken.duckdb", tmp_path / "other.duckdb"
    broken.write_bytes(b"no database" * 1000)
    duckdb.connect(other).close()

    for ledger in (tmp_path / "missing.duckdb", broken, other):
        with pytest.raises(LedgerUnreadable, match="pipelines transform"):
            check(raw, ledger)
    with pytest.raises(RawUnreadable):
        check(tmp_path / "missing.duckdb", other)
