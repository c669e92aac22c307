"""A build that keeps the tables whose inputs did not change: it makes the same ledger as a build of everything."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.worlds import LEDGER, MODELS, RICH, raw_file
from transforms.build import LARGE, VIEWS, Built, Last, build
from transforms.checks import FOLDER, singular, tables_of
from transforms.engine import attach_ledger, connect
from transforms.fingerprints import Record, as_text, file_digest, read_record

NEWER = "_dlt_valid_to = timestamptz '2026-03-05 06:00:00Z'"
NEW = "timestamptz '2026-03-05 06:00:00Z' as _dlt_valid_from"
CHANGES = {
    "an import": "insert into kontist.imports select * replace (concat('i-', random()) as import_id,"
    " finished_at + to_hours(cast(random() * 60 as integer)) as finished_at) from kontist.imports limit 1",
    "an import of the other bank": "insert into kontomatik.imports select * replace (concat('i-', random()) as import_id,"
    " finished_at + to_hours(cast(random() * 60 as integer)) as finished_at) from kontomatik.imports limit 1",
    "a failed import": "insert into kontist.imports select * replace (concat('i-', random()) as import_id, 'failed' as status,"
    " null as finished_at) from kontist.imports limit 1",
    "a look at the consents": "update kontomatik.consents set read_at = read_at + interval 1 day",
    "a new row": "insert into kontist.transactions select * replace (concat('kontist:a:', random()) as transaction_id,"
    " cast(random() as varchar) as source_transaction_id, -75 as amount_cents)"
    " from kontist.transactions where source_transaction_id = '1'",
    "an edit": f"insert into kontist.transactions select * replace ('edited' as purpose, {NEW}) from kontist.transactions"
    " where source_transaction_id = '1' and purpose is distinct from 'edited' and _dlt_valid_to is null;"
    f" update kontist.transactions set {NEWER} where source_transaction_id = '1' and _dlt_valid_to is null"
    " and purpose is distinct from 'edited'",
    "a removal": f"update kontomatik.transactions set {NEWER} where _dlt_valid_to is null and status = 'HOLD'",
    "a removal at the first bank": f"update kontist.transactions set {NEWER} where source_transaction_id = '6' and _dlt_valid_to"
    " is null",
    "another balance": "update kontist.accounts set balance_cents = balance_cents + 1",
    "another name": "update kontomatik.accounts set name = concat(name, 'x')",
    "an account that is gone": f"update kontist.accounts set {NEWER} where account_id = 'kontist:b' and _dlt_valid_to is null",
    "another control total": "insert into kontist.read_days (account_id, day, rows, amount, import_id)"
    " values ('kontist:a', '2026-03-01', 9, '900.00', 'i-1')",
    "a gap": "insert into kontomatik.holes select * replace (from_on - 9 as from_on, to_on - 9 as to_on) from kontomatik.holes"
    " limit 1",
    "another order": "update kontist.standing_orders set amount_cents = amount_cents + 1",
    "a rate": "insert into rates.reference_rates select * replace (max(day) over () + 1 as day) from rates.reference_rates"
    " limit 1",
    "an institution": "insert into kontomatik.institutions select * replace (concat('T', random()) as target)"
    " from kontomatik.institutions limit 1",
    "a row in quarantine": "insert into kontist.quarantine select * replace (concat('q', random()) as quarantine_id)"
    " from kontist.quarantine limit 1",
    "another owner": "update kontomatik.owners set name = concat(name, 'x')",
    "a wider column": "alter table kontist.imports alter requests type hugeint",
    "a setting": "settings.csv",
    "a decision": "transactions.csv",
    "nothing": "select 1",
}
SEEDS = {
    "settings.csv": "name,value\nreporting_currency,PLN\nforecast_days,30\n",
    "transactions.csv": "transaction_id,ledger_account,note\nkontist:a:1,Income:Uncategorised,mine\n",
}
QUIET = ("an import", "an import of the other bank", "a failed import", "a look at the consents", "nothing")
"""What a run leaves that finds nothing new."""


@dataclass(frozen=True)
class First:
    """A ledger with its raw history, and what it was made from."""

    folder: Path
    record: Record


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("kept")
    built = build(raw_file(folder / "raw.duckdb", RICH), folder / "ledger.duckdb")
    return First(folder, recorded(built))


def recorded(built: Built) -> Record:
    return replace(built.record, ledger=file_digest(built.path))


def change(raw: Path, names: list[str]) -> None:
    """Changes raw history, or puts a file of a person's own beside it."""
    with duckdb.connect(raw) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name in names:
            if (changed := CHANGES[name]) in SEEDS:
                (raw.parent / "seeds").mkdir(exist_ok=True)
                (raw.parent / "seeds" / changed).write_text(SEEDS[changed], encoding="utf-8")
            else:
                connection.execute(changed)


def everything(ledger: Path) -> dict[str, Any]:
    """Every table with its columns and comments, its rows in the order of the file, the views and the macros."""
    with connect() as connection:
        attach_ledger(connection, ledger)
        found: dict[str, Any] = {table: connection.execute(f"select * from ledger.{table}").fetchall() for table in LEDGER}
        found["columns"] = connection.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns() where database_name = 'ledger'"
            " order by table_name, column_index"
        ).fetchall()
        for kind, columns in {
            "tables": "schema_name, table_name, comment",
            "views": "view_name, sql, comment",
            "functions": "function_name, parameters, comment",
        }.items():
            query = f"select {columns} from duckdb_{kind}() where database_name = 'ledger' and not internal"
            found[kind] = sorted(connection.execute(query).fetchall())
        connection.execute("use ledger")
        found["as of"] = connection.execute("select * from as_of(timestamptz '2026-03-04 12:00:00Z') order by all").fetchall()
        return found


steps = st.lists(st.lists(st.sampled_from(sorted(CHANGES)), max_size=3) | st.sampled_from([[one] for one in QUIET]), max_size=3)


@settings(max_examples=4)
@given(steps)
def test_the_ledger_is_that_of_a_whole_build(
    tmp_path_factory: pytest.TempPathFactory, first: First, steps: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    raw = shutil.copy(first.folder / "raw.duckdb", folder / "raw.duckdb")
    last = Last(first.folder / "ledger.duckdb", first.record)
    kept = None
    for number, names in enumerate([*steps, ["nothing"]]):
        change(raw, names)
        kept = build(raw, folder / f"{number}.duckdb", own_seeds=folder / "seeds", last=last)
        if kept.failed:
            break  # such a ledger is not published, so nothing is made from it
        last = Last(kept.path, recorded(kept))
    assert kept is not None
    whole = build(raw, folder / "whole.duckdb", own_seeds=folder / "seeds")

    assert everything(kept.path) == everything(whole.path)
    assert (kept.rows, kept.checks, kept.notices) == (whole.rows, whole.checks, whole.notices)
    assert (kept.record.keys, kept.record.found) == (whole.record.keys, whole.record.found)


@pytest.mark.parametrize("name", QUIET)
def test_a_run_that_found_nothing_new_makes_no_large_table(first: First, tmp_path: Path, name: str) -> None:
    raw = shutil.copy(first.folder / "raw.duckdb", tmp_path / "raw.duckdb")
    change(raw, [name])
    made: list[str] = []
    built = build(
        raw,
        tmp_path / "ledger.duckdb",
        last=Last(first.folder / "ledger.duckdb", first.record),
        on_model=lambda table, *_: made.append(table),
    )

    assert built.failed == []
    large = {*LARGE, "ledger.transactions", "ledger.transaction_details", "ledger.counterparties", "ledger.cash_flow_monthly"}
    assert large.isdisjoint(made)
    assert {table for table in made if table.startswith("ledger.")} == set(built.changed or ()) - {
        f"ledger.{view}" for view in VIEWS
    } - {f"raw.{bank}.{table}" for bank in ("kontist", "kontomatik") for table in ("imports", "consents")}


@pytest.mark.parametrize("doubt", ["the ledger was edited", "the ledger is gone", "a log lies beside it", "a new row came"])
def test_in_doubt_every_table_is_made(first: First, tmp_path: Path, doubt: str) -> None:
    raw = shutil.copy(first.folder / "raw.duckdb", tmp_path / "raw.duckdb")
    ledger = shutil.copy(first.folder / "ledger.duckdb", tmp_path / "before.duckdb")
    doubts: dict[str, Callable[[], object]] = {
        "the ledger was edited": lambda: edit(ledger),
        "the ledger is gone": ledger.unlink,
        "a log lies beside it": lambda: (tmp_path / "before.duckdb.wal").write_bytes(b""),
        "a new row came": lambda: change(raw, ["a new row"]),
    }
    doubts[doubt]()
    made = count()
    build(raw, tmp_path / "ledger.duckdb", last=Last(ledger, first.record), on_model=lambda *_: next(made))

    assert next(made) == len(MODELS)


def edit(ledger: Path) -> None:
    with duckdb.connect(ledger) as connection:
        connection.execute("update transactions set amount = amount + 1")


def test_a_record_counts_only_for_the_program_that_wrote_it(
    tmp_path: Path, first: First, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "record.json"
    assert read_record(file) is None

    file.write_text(as_text(first.record), encoding="utf-8")
    assert read_record(file) == first.record

    file.write_text(as_text(first.record)[:-9], encoding="utf-8")
    assert read_record(file) is None

    file.write_text(as_text(replace(first.record, program="another")), encoding="utf-8")
    assert read_record(file) is None


def test_every_table_that_a_check_reads_is_found_in_its_text() -> None:
    of_the_catalog = {"column_types", "comments_complete", "no_float_column"}
    known = {model.table for model in MODELS} | {table for model in MODELS for table in model.raw_refs}

    for name, _, sql in singular(FOLDER):
        assert tables_of(sql) <= known, name
        assert bool(tables_of(sql)) != (name in of_the_catalog), name
