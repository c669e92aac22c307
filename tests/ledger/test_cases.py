"""Given these raw rows, expect those rows of a model: one file in `cases/` a rule.

A value that is missing is written "NULL". Columns that no expected row of a table names are not compared. Every case also holds
every promise of every model's header and every check of the ledger, but for those that it names as `failing`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.worlds import MODELS, SEEDS, TABLES, built, rows_of
from transforms.checks import check_header, run_checks

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))
NULL = "NULL"


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_rule_holds(path: Path) -> None:
    case = read(path)
    with built(case["given"]) as connection:
        for table, expected in case["expect"].items():
            columns = sorted({column for row in expected for column in row}) or ["*"]
            found = rows_of(connection, table, columns)

            assert in_any_order(found) == in_any_order(wanted(expected, columns)), f"{table}: {columns}"

        before = [result for model in MODELS if model.layer != "ledger" for result in check_header(connection, model)]
        failing = {result.name for result in [*before, *run_checks(connection, MODELS)] if not result.passed}
    assert failing == set(case.get("failing", ()))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_says_its_rule_and_knows_its_tables(path: Path) -> None:
    case = read(path)

    assert case.keys() <= {"about", "given", "expect", "failing"}
    assert case["about"].endswith(".")
    assert case["given"].keys() <= TABLES.keys() | SEEDS
    assert case["expect"].keys() <= {model.table for model in MODELS}


def test_every_intermediate_and_ledger_model_has_a_case() -> None:
    expected = {table for path in CASES for table, rows in read(path)["expect"].items() if rows}

    assert {model.table for model in MODELS if model.layer != "staging"} <= expected


def wanted(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> list[tuple[Any, ...]]:
    return [tuple(toml_value(row.get(column, NULL)) for column in columns) for row in rows]


def toml_value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return None if value == NULL else value


def in_any_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)
