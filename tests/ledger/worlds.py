"""Raw histories for tests, and the ledgers that come of them.

The raw tables are made from what the readers declare (`sources/*/columns.py`), so a column that is renamed there fails here.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from pipelines.store import closed_months
from pipelines.store.banks import BANKS
from sources._columns import DAY, INSTANT, MONEY, RATE, TEXT, TRUTH, WHOLE
from sources.files import columns as files
from sources.rates import columns as rates
from transforms import comments, given, macros, seeds
from transforms.build import make, prepare
from transforms.engine import attach, connect
from transforms.models import Model, in_order, load
from transforms.run_record import RunRecord

Row = Mapping[str, Any]
Given = Mapping[str, Iterable[Row]]

_SOURCES = {bank.name: bank.tables for bank in BANKS} | {
    "file": files.TABLES,
    "rates": rates.TABLES,
    "closings": closed_months.TABLES,
}
TABLES = {f"{source}.{name}": schema for source, tables in _SOURCES.items() for name, schema in tables.items()}
RUNS, PUBLISHING = "given.runs", "r-now"
SEEDS = {f"seeds.{name}" for name in seeds.NAMES}
VALIDITY = {"valid_from": "_dlt_valid_from", "valid_to": "_dlt_valid_to"}
MODELS = in_order(load())
GIVEN = given.tables(MODELS)
LEDGER = [model.name for model in MODELS if model.layer == "ledger"]

_TYPES = {TEXT: "varchar", DAY: "date", INSTANT: "timestamptz", WHOLE: "bigint", TRUTH: "boolean", MONEY: "decimal(18, 2)",
          RATE: "decimal(18, 6)"}  # fmt: skip
_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_FIRST_LOAD = datetime(2026, 3, 2, 6, tzinfo=UTC)
_SECOND_LOAD = datetime(2026, 3, 4, 6, tzinfo=UTC)
_REQUIRED: dict[str, Any] = {
    "access_mode": "MULTIPLE",
    "account_type": "account",
    "closed_at": _SECOND_LOAD,
    "closed_by": "ada",
    "month": date(2026, 3, 1),
    "first_day": date(2026, 3, 1),
    "last_day": date(2026, 3, 31),
    "transactions": 0,
    "money_in": Decimal(0),
    "money_out": Decimal(0),
    "transactions_sha256": "0" * 64,
    "entries": 0,
    "entries_sha256": "0" * 64,
    "ledger_account": "Assets:Bank",
    "days": 31,
    "seen_days": 31,
    "reconciled_days": 0,
    "complete": True,
    "salt": "salt",
    "kind": "transaction",
    "entry": "entry",
    "leg": 1,
    "booked_on": date(2026, 3, 1),
    "movement_on": date(2026, 3, 1),
    "is_correction": False,
    "payee": "",
    "narration": "",
    "is_bank": False,
    "amount": Decimal(0),
    "amount_cents": 0,
    "booking_date": _NOON,
    "consent_id": "consent",
    "created_at": _NOON,
    "currency": "PLN",
    "import_id": "i-1",
    "institution": "A bank",
    "bytes": 1000,
    "first_on": date(2026, 3, 1),
    "format": "CAMT.053",
    "imported_at": _FIRST_LOAD,
    "is_reversal": False,
    "last_on": date(2026, 3, 1),
    "name": "x",
    "beta": False,
    "day": date(2026, 3, 1),
    "publisher": "ECB",
    "rate": Decimal(4),
    "country": "PL",
    "from_on": date(2026, 1, 2),
    "noticed_at": _FIRST_LOAD,
    "to_on": date(2026, 1, 5),
    "occurrence": 1,
    "payload": "{}",
    "read_at": _FIRST_LOAD,
    "reason": "an amount that is none",
    "run_id": "r-1",
    "started_at": _FIRST_LOAD,
    "status": "complete",
}
"""What a row says where a test says nothing and the bank must."""


def empty() -> duckdb.DuckDBPyConnection:
    """A DuckDB with `raw`, all its tables empty, and an empty `ledger`, both in memory."""
    connection = connect()
    connection.execute("set threads = 1; attach ':memory:' as raw; attach ':memory:' as ledger")
    declare(connection)
    return connection


def built(rows: Given, models: Sequence[Model] = MODELS) -> duckdb.DuckDBPyConnection:
    """The ledger of a raw history, with all that led to it, in memory; or so much of it as `models` are."""
    connection = empty()
    fill(connection, {table: listed for table, listed in rows.items() if table in TABLES})
    seeds.fill(connection, given_seeds(rows))
    given.fill(connection, GIVEN | {"runs": _on_record(rows)})
    prepare(connection, models)
    for model in models:
        make(connection, model, as_table=True)
    if models is MODELS:
        macros.add(connection)
        connection.execute(comments.statements(connection, MODELS))
    return connection


def needed(*tables: str) -> list[Model]:
    """Returns these models and all that they read, in order."""
    by_name = {model.table: model for model in MODELS}
    wanted, asked = set[str](), list(tables)
    while asked:
        model = by_name[asked.pop()]
        wanted.add(model.table)
        asked += [ref for ref in model.refs if ref not in wanted]
    return [model for model in MODELS if model.table in wanted]


def _on_record(rows: Given) -> given.Rows:
    """The runs on record, those of `given.runs`; the run `PUBLISHING` is the one that publishes."""
    records = msgspec.convert([*rows.get(RUNS, ())], list[RunRecord])
    return given.runs(given.Publication(run_id=PUBLISHING, runs=records), number_of_checks=300)


def given_seeds(given: Given) -> tuple[seeds.Seed, ...]:
    """The shipped seeds, but for those that a test gives."""
    with TemporaryDirectory() as folder:
        for table in SEEDS & given.keys():
            name = table.partition(".")[2]
            with Path(folder, f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, seeds.COLUMNS[name])
                writer.writeheader()
                writer.writerows(given[table])
        return seeds.read(Path(folder))


def raw_file(path: Path, given: Given) -> Path:
    """The same history as a file."""
    with connect() as connection:
        attach(connection, path, "raw", "storage_version 'v1.0.0'")
        declare(connection)
        fill(connection, given)
        connection.execute("detach raw")
    return path


def declare(connection: duckdb.DuckDBPyConnection) -> None:
    for source in _SOURCES:
        connection.execute(f"create schema raw.{source}")
    for table, schema in TABLES.items():
        columns = [f'"{field.name}" {_TYPES[field.type]}{"" if field.nullable else " not null"}' for field in schema]
        if "row_version" in schema.names:
            columns += [f"{column} timestamptz" for column in VALIDITY.values()]
        connection.execute(f"create table raw.{table} ({', '.join(columns)})")


def fill(connection: duckdb.DuckDBPyConnection, given: Given) -> None:
    """Inserts rows; what a test leaves out and the table requires is made up, an account that it does not name included."""
    for table, rows in _with_accounts(given).items():
        for number, row in enumerate(rows, start=1):
            whole = _completed(table, number, row)
            names = ", ".join(f'"{name}"' for name in whole)
            values = ", ".join("?" * len(whole))
            connection.execute(f"insert into raw.{table} ({names}) values ({values})", list(whole.values()))


def rows_of(connection: duckdb.DuckDBPyConnection, table: str, columns: Iterable[str] = ("*",)) -> list[tuple[Any, ...]]:
    """Rows of a model, with values as a TOML file would write them."""
    names = ", ".join(columns)
    found = connection.execute(f"select {names} from {table}").fetchall()
    return [tuple(_plain(value) for value in row) for row in found]


def _with_accounts(given: Given) -> dict[str, list[Row]]:
    whole = {table: list(rows) for table, rows in given.items()}
    for bank in ("kontist", "kontomatik"):
        accounts = whole.setdefault(f"{bank}.accounts", [])
        known = {row.get("account_id", f"{bank}:a") for row in accounts}
        for table in ("transactions", "standing_orders", "timed_orders"):
            for row in whole.get(f"{bank}.{table}", []):
                account = row.get("account_id", f"{bank}:a")
                if account not in known:
                    known.add(account)
                    accounts.append({"account_id": account})
    return whole


def _completed(table: str, number: int, row: Row) -> dict[str, Any]:
    schema: pa.Schema = TABLES[table]
    bank = table.partition(".")[0]
    whole = {VALIDITY.get(name, name): value for name, value in row.items()}
    if table == "kontomatik.transactions" and not {"transaction_on", "booked_on"} & whole.keys():
        whole["transaction_on"] = _NOON.date()
    made_up = {
        **_REQUIRED,
        "account_id": f"{bank}:a",
        "source_account_id": str(number),
        "source_transaction_id": str(number),
        "order_id": str(number),
        "quarantine_id": f"{bank}:q{number}",
        "position": number,
        "position_in_day": number,
        "row_version": f"v{number}",
        "target": f"Target{number}",
        "window_on": _window(whole),
    }
    made_up["transaction_id"] = f"{whole.get('account_id', made_up['account_id'])}:{whole.get('source_transaction_id', number)}"
    for field in schema:
        if not field.nullable:
            whole.setdefault(field.name, made_up.get(field.name, field.name))
    if "row_version" in schema.names:
        whole.setdefault("_dlt_valid_from", _FIRST_LOAD)
    return whole


def _window(row: Row) -> date:
    days = [row[name] for name in ("transaction_on", "booked_on") if row.get(name)]
    booked_at: datetime = row.get("booking_date", _NOON)
    return min(days) if days else booked_at.date()


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return str(value)
        case datetime():
            return value.astimezone(UTC)
        case list():
            return tuple(value)
        case _:
            return value


RICH: Given = {
    "kontist.accounts": [
        {"account_id": "kontist:a", "iban": "DE1", "balance_cents": 5_000},
        {"account_id": "kontist:b", "iban": "DE2", "balance_cents": 1_00},
    ],
    "kontist.transactions": [
        {"source_transaction_id": "1", "amount_cents": 7_000, "booking_type": "x", "booking_date": _NOON, "invoice_number": "12",
         "splits": '[{"amount":5000,"category":"VAT_19"},{"amount":2000}]'},
        {"source_transaction_id": "2", "amount_cents": -2_000, "booking_type": "x", "booking_date": _NOON + timedelta(days=2),
         "iban": "PL1", "purpose": "before", "valid_to": _SECOND_LOAD},
        {"source_transaction_id": "2", "amount_cents": -2_000, "booking_type": "x", "booking_date": _NOON + timedelta(days=2),
         "iban": "PL1", "purpose": "after", "valid_from": _SECOND_LOAD},
        {"source_transaction_id": "3", "amount_cents": -99, "valid_to": _SECOND_LOAD},
        {"source_transaction_id": "4", "amount_cents": -500, "booking_date": _NOON + timedelta(days=2)},
        {"source_transaction_id": "5", "amount_cents": -1_00, "booking_type": "x", "iban": "DE2"},
        {"account_id": "kontist:b", "source_transaction_id": "6", "amount_cents": 1_00, "booking_type": "x", "iban": "DE1"},
        {"source_transaction_id": "7", "amount_cents": -300, "memo": "customer", "booking_type": "x", "personal_note": "cash"},
        *({"account_id": "kontist:b", "source_transaction_id": f"2{month}", "amount_cents": -4_00, "booking_type": "x",
           "name": "Landlord", "purpose": "Miete", "booking_date": _NOON.replace(month=month, day=2)} for month in (1, 2, 3)),
    ],
    "kontist.standing_orders": [
        {"order_id": "s", "amount_cents": 1_00, "status": "ACTIVE", "reoccurrence": "MONTHLY", "iban": "DE2",
         "next_occurrence": _NOON},
    ],
    "kontist.timed_orders": [
        {"order_id": "t", "amount_cents": -1_234, "status": "scheduled", "date": _NOON + timedelta(days=5)},
    ],
    "kontist.imports": [{"account_id": "kontist:a", "finished_at": _SECOND_LOAD}],
    "kontist.quarantine": [{"account_id": "kontist:a"}],
    "kontomatik.accounts": [{"balance": "30.00", "currency": "PLN", "iban": "PL1"}],
    "kontomatik.owners": [{"name": "Ada Example"}],
    "kontomatik.transactions": [
        {"booked_on": date(2026, 3, 1), "amount": "10.00", "balance_after": "20.00", "labels": '["b", "a"]', "party": "Somebody"},
        {"booked_on": date(2026, 3, 3), "amount": "10.00", "balance_after": "30.00"},
        {"booked_on": date(2026, 3, 3), "amount": "-1.00", "status": "HOLD"},
    ],
    "kontomatik.consents": [{"expires_at": _NOON + timedelta(days=90)}],
    "kontomatik.imports": [{"import_id": "i-2", "account_id": "kontomatik:a", "finished_at": _SECOND_LOAD}],
    "kontomatik.quarantine": [{"account_id": "kontomatik:a"}],
    "kontomatik.holes": [{"account_id": "kontomatik:a"}],
    "kontomatik.institutions": [{"access_modes": '["SINGLE", "MULTIPLE"]'}],
    "file.accounts": [{"account_id": "file:a", "currency": "EUR"}],
    "file.files": [{"file_id": "f-1", "account_id": "file:a", "entries": 1, "money_in": "5.00"}],
    "file.imports": [{"import_id": "f-1-1", "run_id": "f-1", "account_id": "file:a", "finished_at": _FIRST_LOAD,
                      "as_of": _FIRST_LOAD, "window_start": date(2026, 3, 1), "window_end": date(2026, 3, 1)}],
    "file.statements": [{"file_id": "f-1", "account_id": "file:a", "opening_balance": "0.00", "closing_balance": "5.00"}],
    "file.transactions": [{"file_id": "f-1", "import_id": "f-1-1", "account_id": "file:a", "amount": "5.00", "currency": "EUR",
                           "window_on": date(2026, 3, 1)}],
    "rates.reference_rates": [{"currency": "PLN"}],
    "closings.months": [{"account_id": "kontist:b", "currency": "EUR", "transactions": 1}],
    "closings.transactions": [
        {"account_id": "kontist:b", "transaction_id": "kontist:b:6", "booked_on": _NOON.date(), "amount": "0.90",
         "currency": "EUR"},
    ],
    "closings.legs": [
        {"account_id": "kontist:b", "entry": "kontist:b:6", "ledger_account": "Assets:Bank:Kontist:B", "is_bank": True,
         "amount": "0.90", "currency": "EUR"},
        {"account_id": "kontist:b", "entry": "kontist:b:6", "leg": 2, "ledger_account": "Income:Uncategorised",
         "amount": "-0.90", "currency": "EUR"},
    ],
}  # fmt: skip
"""A little of everything: every table of the ledger has a row, every kind of change and proof but `differs` is there."""
