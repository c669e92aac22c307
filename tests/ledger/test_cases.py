"""Given these raw rows, expect those rows of a model: one file in `cases/` a rule.

A value that is missing is written "NULL". Rows of `among` are some of a large table's, those of `expect` are all. Columns that
no expected row of a table names are not compared. Of each case so much is built as it asks about, which also holds every
promise of the models' headers and every check, but for those that the case names as `failing`. All cases together, as the
accounts of one history, hold every promise of all models.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.ledger.worlds import MODELS, RUNS, SEEDS, TABLES, built, rows_of
from transforms.checks import CheckResult, check_header, run_checks, singular
from transforms.given import relations
from transforms.models import Model

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))
NULL = "NULL"
TABLE = re.compile(r"\b(?:staging|intermediate|ledger)\.[a-z_]+")
IDS = {"account_id": "a", "consent_id": "consent", "file_id": "file_id", "import_id": "i-1", "run_id": "r-1"} | dict.fromkeys(
    ("transaction_id", "order_id", "quarantine_id")
)
"""Columns that tell cases apart where several are loaded together, and what they hold where a case does not say."""
APART = frozenset(
    {"kontomatik.institutions", "rates.reference_rates", "closings.months", "closings.transactions", "closings.legs"}
)
"""Tables that are of no account, or that name the ids of other tables' rows in columns of their own."""


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_rule_holds(path: Path) -> None:
    case = read(path)
    models = needed_by(case)
    with built(case["given"], models) as connection:
        for table, expected in case.get("among", {}).items():
            columns = sorted({column for row in expected for column in row})

            assert set(wanted(expected, columns)) <= set(rows_of(connection, table, columns)), table
        for table, expected in case.get("expect", {}).items():
            columns = sorted({column for row in expected for column in row}) or ["*"]
            found = rows_of(connection, table, columns)

            assert in_any_order(found) == in_any_order(wanted(expected, columns)), f"{table}: {columns}"

        assert broken(connection, models) == set(case.get("failing", ()))


def test_all_cases_together_hold_every_promise() -> None:
    everything: dict[str, list[Any]] = {}
    for number, case in enumerate(map(read, CASES)):
        for table, rows in case["given"].items():
            if not case.get("failing") and table in TABLES.keys() - APART:
                everything.setdefault(table, []).extend(of_its_own(number, table, row) for row in rows)
    with built(everything) as connection:
        assert broken(connection, MODELS) == set()
        for one in relations(MODELS):
            if one.to_table == "imports":
                continue  # cases leave them out: held in `house/test_what_users_hold.py`
            sql = (
                f"select count(*) from ledger.{one.from_table} where {one.from_column} not in"
                f" (select {one.to_column} from ledger.{one.to_table} where {one.to_column} is not null)"
            )

            assert connection.execute(sql).fetchone() == (0,), one


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_says_its_rule_and_knows_its_tables(path: Path) -> None:
    case = read(path)

    assert case.keys() <= {"about", "given", "expect", "among", "failing"}
    assert case["about"].endswith(".")
    assert case["given"].keys() <= TABLES.keys() | SEEDS | {RUNS}
    assert asked_of(case).keys() <= {model.table for model in MODELS}


def test_every_intermediate_and_ledger_model_has_a_case() -> None:
    expected = {table for path in CASES for table, rows in asked_of(read(path)).items() if rows}

    assert {model.table for model in MODELS if model.layer != "staging"} <= expected


def asked_of(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables that the case asks about, with the rows that it expects."""
    return {**case.get("expect", {}), **case.get("among", {})}


def needed_by(case: Mapping[str, Any]) -> Sequence[Model]:
    """The models that the case asks about, and those that they read or refer to; all where a check is expected to fail."""
    if case.get("failing"):
        return MODELS
    by_name = {model.table: model for model in MODELS}
    needed: set[str] = set()
    asked = list(asked_of(case))
    while asked:
        model = by_name[asked.pop()]
        if model.table not in needed:
            needed.add(model.table)
            asked += model.refs
            asked += [f"ledger.{one.target[0]}" for one in model.checks if one.kind == "relationship"]
    return [model for model in MODELS if model.table in needed]


def broken(connection: duckdb.DuckDBPyConnection, models: Sequence[Model]) -> set[str]:
    """The promises of these models, and the checks that ask about no other, that do not hold."""
    results = [result for model in models for result in check_header(connection, model)]
    if models is MODELS:
        results += run_checks(connection, ())
    else:
        tables = {model.table for model in models}
        for name, meaning, sql in singular():
            asked = set(TABLE.findall(sql))
            if asked and asked <= tables:
                results.append(CheckResult(name, meaning, len(connection.execute(sql).fetchall())))
    return {result.name for result in results if not result.passed}


def of_its_own(number: int, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with ids that no other case has."""
    source = table.partition(".")[0]
    own = dict(row)
    for column in TABLES[table]:
        value = row.get(column.name, None if column.nullable else IDS.get(column.name))
        if column.name in IDS and value is not None:
            # files hold rows of any source's accounts
            prefix, _, bare = str(value).partition(":") if ":" in str(value) else (source, "", str(value))
            own[column.name] = f"{prefix}:{number}-{bare}" if column.name == "account_id" else f"{number}-{bare}"
    return own


def wanted(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> list[tuple[Any, ...]]:
    return [tuple(toml_value(row.get(column, NULL)) for column in columns) for row in rows]


def toml_value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return None if value == NULL else value


def in_any_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)
