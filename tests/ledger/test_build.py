"""The file that comes out: who can open it, what it holds, and what happens when it cannot be made."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.ledger.worlds import LEDGER, MODELS, TABLES, Given, raw_file
from tests.ledger.worlds import built as made
from transforms.build import VIEWS, build
from transforms.engine import connect
from transforms.seeds import COLUMNS as SEED_COLUMNS
from transforms.warnings import notices

FORMAT_OF_DUCKDB_1_0 = 64


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table, its rows in the order in which the file holds them."""
    with duckdb.connect(path, read_only=True) as connection:
        return {table: connection.execute(f"select * from {table}").fetchall() for table in LEDGER}


def test_tables_answer_to_their_name_with_and_without_the_files(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        for table in LEDGER:
            short = connection.execute(f"select count(*) from {table}").fetchone()

            assert connection.execute(f"select count(*) from ledger.{table}").fetchone() == short != (0,)


def test_the_file_holds_the_contracts_tables_and_nothing_else(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        found = connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        views = connection.execute("select view_name from duckdb_views() where not internal order by view_name").fetchall()

    assert sorted(found) == [("main", table) for table in sorted({*LEDGER} - VIEWS)]
    assert set(LEDGER) == {
        "about",
        "accounts",
        "calendar",
        "checks",
        "net_worth_daily",
        "relations",
        "transactions_enriched",
        "uncategorised_counterparties",
        "transactions",
        "transaction_details",
        "transaction_history",
        "balances_daily",
        "standing_orders",
        "timed_orders",
        "order_history",
        "imports",
        "runs",
        "consents",
        "holes",
        "institutions",
        "quarantine",
        "postings",
        "ledger_accounts",
        "transfers",
        "in_transit",
        "coverage",
        "expected_payments",
        "cash_forecast",
        "cash_flow_monthly",
        "balance_entries",
        "closed_month_changes",
        "closed_postings",
        "closed_transactions",
        "closings",
        "corrections",
        "file_entries",
        "imported_files",
        "payment_kinds",
        "recurring",
        "income_monthly",
        "affordability",
        "affordability_payments",
        "vat_monthly",
        "euer_lines",
        "counterparties",
        "owners",
        "account_owners",
        "exchange_rates",
        "transaction_splits",
        "changes",
        "seeds",
    }
    assert views == [("changes",), ("transactions_enriched",)]


def test_the_contracts_columns_are_there(folder: Path) -> None:
    promised = {
        "accounts": "account_id source source_account_id institution account_type iban name currency owner_name balance"
        " available_balance balance_at first_booked_on last_booked_on last_imported_at",
        "transactions": "transaction_id account_id source source_transaction_id status booked_on value_on booked_at amount"
        " currency original_amount original_currency counterparty_name counterparty_iban description end_to_end_id"
        " transaction_type category labels balance_after transfer_id first_seen_at last_changed_at",
        "transaction_history": "transaction_id amount labels valid_from valid_to change",
        "balances_daily": "account_id day opening_balance money_in money_out closing_balance transactions proof",
        "imports": "import_id account_id source window_start window_end started_at finished_at status rows reason",
        "transfers": "transfer_id evidence status out_transaction_id in_transaction_id",
        "postings": "transaction_id ledger_account amount currency",
        "coverage": "account_id day import_id proof difference_amount",
        "consents": "consent_id institution access_mode status created_at expires_at days_left",
        "quarantine": "source reason payload",
    }
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        for table, columns in promised.items():
            found = {row[0] for row in connection.execute(f"describe {table}").fetchall()}

            assert set(columns.split()) <= found, table


def test_history_holds_every_column_of_transactions(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        transactions = connection.execute("describe transactions").fetchall()

        assert connection.execute("describe transaction_history").fetchall()[: len(transactions)] == transactions


def test_a_client_of_duckdb_1_0_can_open_the_file(folder: Path) -> None:
    header = (folder / "ledger.duckdb").read_bytes()[:20]

    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") == FORMAT_OF_DUCKDB_1_0


def test_every_table_and_column_carries_a_comment(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        tables = dict(connection.execute("select table_name, comment from duckdb_tables()").fetchall())
        tables |= dict(connection.execute("select view_name, comment from duckdb_views() where not internal").fetchall())
        columns = connection.execute(
            "select table_name, column_name, comment from duckdb_columns() where not internal"
        ).fetchall()

    assert tables == {model.name: model.sentence for model in MODELS if model.layer == "ledger"}
    assert [row for row in columns if not row[2]] == []
    assert [row for row in columns if not row[2].endswith(".")] == []


def test_no_column_is_a_float(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        types = {row[0] for row in connection.execute("select data_type from duckdb_columns() where not internal").fetchall()}

    assert types == {
        "VARCHAR",
        "VARCHAR[]",
        "DATE",
        "TIMESTAMP WITH TIME ZONE",
        "BIGINT",
        "BOOLEAN",
        "DECIMAL(18,2)",
        "DECIMAL(18,3)",
        "DECIMAL(18,4)",
        "DECIMAL(18,6)",
    }


def test_the_same_raw_history_gives_the_same_rows_in_the_same_order(folder: Path, tmp_path: Path) -> None:
    again = build(folder / "raw.duckdb", tmp_path / "ledger.duckdb").path

    assert content(again) == content(folder / "ledger.duckdb")


def test_the_order_in_which_raw_rows_were_loaded_does_not_matter(folder: Path, tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", {})
    with duckdb.connect(tmp_path / "raw.duckdb") as connection:
        connection.execute(f"attach '{folder / 'raw.duckdb'}' as other (read_only)")
        for table in TABLES:
            connection.execute(f"insert into {table} select * from other.{table} order by rowid desc")

    assert content(build(raw, tmp_path / "ledger.duckdb").path) == content(folder / "ledger.duckdb")


def test_a_build_shows_its_rows_its_checks_and_its_progress(folder: Path, tmp_path: Path) -> None:
    result: list[tuple[str, int, int]] = []
    built = build(folder / "raw.duckdb", tmp_path / "ledger.duckdb", on_model=lambda *step: result.append(step))

    assert built.path == tmp_path / "ledger.duckdb"
    assert built.rows == {table: len(rows) for table, rows in content(built.path).items() if table not in VIEWS}
    assert built.rows["transactions"] == 13
    assert len(built.checks) > 240
    assert built.failed == []
    assert built.seconds > 0
    assert result == [(model.table, number, len(MODELS)) for number, model in enumerate(MODELS, start=1)]


def test_the_warnings_of_a_good_ledger_are_sentences_with_numbers(tmp_path: Path) -> None:
    given: Given = {
        "kontomatik.accounts": [
            {"account_id": "kontomatik:a", "iban": "PL1", "currency": "PLN", "balance": "5.00"},
            {"account_id": "kontomatik:b", "iban": "PL2", "currency": "PLN"},
        ],
        "kontomatik.transactions": [
            {"booked_on": date(2026, 1, 1), "amount": "-3.00", "party_iban": "PL2", "balance_after": "7.00"},
            {"booked_on": date(2026, 1, 20), "amount": "-1.00", "balance_after": "5.00"},
            {"account_id": "kontomatik:b", "booked_on": date(2026, 1, 20), "amount": "1.00"},
        ],
    }
    built = build(raw_file(tmp_path / "raw.duckdb", given), tmp_path / "ledger.duckdb")

    assert built.failed == []
    assert [notice.partition(":")[0].partition(" to ")[0] for notice in built.notices] == [
        "1 internal transfer unmatched for more than ten days",
        "1 account whose bank moved more or less than the ledger holds",
        "1 suggested transfer",
    ]


@pytest.mark.parametrize(
    ("decided", "effect"),
    [
        ("kontist:a:1,kontist:b:3,confirm", ""),
        ("kontist:a:1,kontist:b:3,reject", ""),
        ("written,wrongly,confirm", "the ledger has no transaction of that id"),
        ("kontist:b:3,kontist:a:1,confirm", "the first id must be of money that left"),
        ("kontist:a:1,kontist:a:2,confirm", "both ids are of one account"),
        ("kontist:a:1,kontist:b:3,confirm\nkontist:a:1,kontist:b:4,confirm", "an earlier row confirms one of the two"),
    ],
)
def test_a_decision_without_effect_is_reported_with_the_reason(decided: str, effect: str) -> None:
    rows = [("a", -500), ("a", 500), ("b", 500), ("b", 500)]
    given: Given = {
        "kontist.transactions": [
            {"account_id": f"kontist:{account}", "source_transaction_id": str(number), "amount_cents": cents, "booking_type": "x"}
            for number, (account, cents) in enumerate(rows, start=1)
        ],
        "seeds.transfers": [dict(zip(SEED_COLUMNS["transfers"], row.split(","), strict=True)) for row in decided.split("\n")],
    }
    with made(given) as connection:
        result = [notice for notice in notices(connection) if "without effect" in notice]

    assert len(result) == bool(effect)
    assert all(notice.startswith("1 row of seeds/transfers.csv without effect: ") and effect in notice for notice in result)


def test_splits_that_are_not_the_whole_are_reported() -> None:
    row = {"amount_cents": -100, "booking_type": "x"}
    shown = ['[{"amount":-60},{"amount":-40}]', '[{"amount":-60}]', '[{"amount":-60},{"amount":-41}]']
    given: Given = {
        "kontist.transactions": [
            *(row | {"source_transaction_id": str(number), "splits": splits} for number, splits in enumerate(shown)),
            {"source_transaction_id": "pending", "amount_cents": -100, "splits": shown[1]},
        ]
    }
    with made(given) as connection:
        assert notices(connection) == [
            "2 transactions booked as a whole, because the bank's splits do not sum to the amount (`transaction_splits`)"
        ]


def test_a_rule_of_an_account_that_is_not_there_is_reported() -> None:
    rule = {"rule": "r", "direction": "any", "ledger_account": "Assets:Cash"}
    given: Given = {
        "kontist.accounts": [{}],
        "seeds.rules": [rule | {"account_id": "kontist:a"}, rule | {"rule": "s", "account_id": "kontist:z"}],
    }
    with made(given) as connection:
        assert [notice.partition(":")[0] for notice in notices(connection)] == ["1 row of seeds/rules.csv without effect"]


def test_a_long_query_draws_nothing_on_standard_output() -> None:
    with connect() as connection:
        for one in (connection, connection.cursor()):
            assert one.execute("select current_setting('enable_progress_bar')").fetchone() == (False,)


def test_nothing_but_the_file_is_left_behind(folder: Path, tmp_path: Path) -> None:
    build(folder / "raw.duckdb", tmp_path / "ledger.duckdb")

    assert [path.name for path in tmp_path.iterdir()] == ["ledger.duckdb"]


def test_a_failed_check_is_reported_and_leaves_the_file_for_a_look(tmp_path: Path) -> None:
    twice: Given = {"kontist.transactions": [{"source_transaction_id": "1"}, {"source_transaction_id": "1"}]}
    built = build(raw_file(tmp_path / "raw.duckdb", twice), tmp_path / "ledger.duckdb")

    assert "transactions.grain" in [check.name for check in built.failed]
    assert built.path.exists()


def test_a_path_may_hold_quotes_and_blanks(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "Müller's books"
    odd.mkdir()
    (odd / "raw.duckdb").write_bytes((folder / "raw.duckdb").read_bytes())

    assert build(odd / "raw.duckdb", odd / "ledger.duckdb").failed == []


def test_a_long_history_spills_to_disk_instead_of_failing(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", {"kontist.transactions": [{"source_transaction_id": "0"}]})
    with duckdb.connect(raw) as connection:
        connection.execute(
            "insert into kontist.transactions by name select row.* replace (concat('kontist:a:', i) as transaction_id,"
            " repeat(md5(cast(i as varchar)), 8) as purpose) from kontist.transactions as row, range(1, 120000) as more (i)"
        )
    built = build(raw, tmp_path / "ledger.duckdb", memory_limit="160MB", temp_directory=tmp_path / "spill")

    assert built.failed == []
    assert built.rows["transactions"] == 120_000
    with duckdb.connect(built.path, read_only=True) as connection:
        ordered = connection.execute("select transaction_id from transactions").fetchall()
    assert ordered == sorted(ordered), "one account and day: stored by id, though nobody sorts this table again"
