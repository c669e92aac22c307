"""`docs/dbt/models/sources.yml`: the ledger as a source of a dbt project, with everything that a build promises as tests."""

from collections.abc import Iterable, Sequence
from typing import Any

from transforms.catalog.tables import Column, Table
from transforms.catalog.yaml_text import yaml_text
from transforms.given import Relation, relations
from transforms.models import Model

SOURCE = "kontoledger"


def dbt_sources(tables: Sequence[Table]) -> str:
    """Returns the source: grain, values that are never missing, lists of values and relations, each as a dbt test."""
    found = relations(table.model for table in tables)
    source = {
        "name": SOURCE,
        "description": "The published ledger: bank accounts, transactions and all that follows from them.",
        "database": "ledger",
        "schema": "main",
        "tables": [_table(table, [one for one in found if one.from_table == table.name]) for table in tables],
    }
    return yaml_text({"version": 2, "sources": [source]}, "`transforms/columns.toml` or a model's header")


def _table(table: Table, own: Sequence[Relation]) -> dict[str, Any]:
    grain = table.model.grain
    described: dict[str, Any] = {"name": table.name, "description": table.model.sentence}
    if len(grain) > 1:
        described["data_tests"] = [_test("unique_together", columns=list(grain))]
    described["columns"] = [
        _column(column, _tests(column.name, table.model, (one for one in own if one.from_column == column.name)))
        for column in table.columns
    ]
    return described


def _column(column: Column, tests: list[Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column.name, "data_type": column.type, "description": column.meaning}
    return described | ({"data_tests": tests} if tests else {})


def _tests(column: str, model: Model, own: Iterable[Relation]) -> list[Any]:
    tests: list[Any] = []
    if column in model.grain or any(one.kind == "not_null" and one.column == column for one in model.checks):
        tests.append("not_null")
    if model.grain == (column,):
        tests.append("unique")
    lists = (one.values for one in model.checks if one.kind == "accepted" and one.column == column)
    tests += [_test("accepted_values", values=[value.strip("'") for value in values]) for values in lists]
    for one in own:
        tests.append(_test("relationships", to=f"source('{SOURCE}', '{one.to_table}')", field=one.to_column))
    return tests


def _test(name: str, **arguments: Any) -> dict[str, Any]:
    return {name: {"arguments": arguments}}
