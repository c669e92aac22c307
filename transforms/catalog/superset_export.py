"""`docs/superset/`: one database, its datasets, eight charts and a dashboard, in the format that Superset imports.

Superset recognises each object by its `uuid`. The uuids are derived from names, so they never change.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import duckdb

from transforms.catalog.superset_charts import CHARTS, Chart, params, query_context
from transforms.catalog.superset_datasets import DATASETS, Dataset
from transforms.catalog.tables import Table
from transforms.catalog.yaml_text import yaml_text
from transforms.engine import attach_ledger, connect

DATABASE = "kontoledger"
URI = "duckdb:////path/to/ledger.duckdb"
"""What a person replaces: in the file, or in Superset after the import."""
DASHBOARD = "Bank accounts"
_VERSION = "1.0.0"
_MADE_AT = "2026-01-01T00:00:00+00:00"
"""Superset requires a time. It is fixed, so that the files only change with their content."""
_PER_ROW = 2
_HEIGHT = 50


def superset_export(ledger: Path, tables: Sequence[Table]) -> dict[str, str]:
    """Returns the text of each file by its path. Raises `LedgerUnreadable`."""
    made: dict[str, dict[str, Any]] = {
        "metadata.yaml": {"version": _VERSION, "type": "Dashboard", "timestamp": _MADE_AT},
        f"databases/{DATABASE}.yaml": _database(),
        f"dashboards/{_file(DASHBOARD)}.yaml": _dashboard(),
    }
    with connect() as connection:
        attach_ledger(connection, ledger)
        connection.execute("use ledger")
        for dataset in DATASETS:
            made[f"datasets/{DATABASE}/{dataset.name}.yaml"] = _dataset(dataset, connection, tables)
    made |= {f"charts/{chart.name}.yaml": _chart(chart) for chart in CHARTS}
    return {path: yaml_text(value, "`transforms/catalog/` or `transforms/columns.toml`") for path, value in sorted(made.items())}


def _database() -> dict[str, Any]:
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": URI,
        "expose_in_sqllab": True,
        "allow_dml": False,
        "extra": {"engine_params": {"connect_args": {"read_only": True}}, "allows_virtual_table_explore": True},
        "uuid": _uuid("database", DATABASE),
        "version": _VERSION,
    }


def _dataset(dataset: Dataset, connection: duckdb.DuckDBPyConnection, tables: Sequence[Table]) -> dict[str, Any]:
    read = dataset.sql or f"select * from {dataset.name}"
    columns = [(name, kind) for name, kind, *_ in connection.execute(f"describe {read}").fetchall()]
    return {
        "table_name": dataset.name,
        "description": dataset.sentence,
        "main_dttm_col": dataset.time,
        "schema": "main",
        "sql": dataset.sql,
        "columns": [
            {
                "column_name": name,
                "type": kind,
                "is_dttm": kind.startswith(("DATE", "TIMESTAMP")),
                "groupby": True,
                "filterable": True,
                "description": _meaning(dataset, name, tables),
            }
            for name, kind in columns
        ],
        "metrics": [
            {
                "metric_name": one.name,
                "expression": one.expression,
                "description": one.sentence,
            }
            for one in dataset.metrics
        ],
        "uuid": _uuid("dataset", dataset.name),
        "database_uuid": _uuid("database", DATABASE),
        "version": _VERSION,
    }


def _meaning(dataset: Dataset, column: str, tables: Sequence[Table]) -> str:
    """Returns what a column of a dataset means: as the dataset says, else as the first of its tables says that has it."""
    if column in dataset.meanings:
        return dataset.meanings[column]
    by_name = {table.name: table for table in tables}
    meanings = (one.meaning for name in dataset.tables for one in by_name[name].columns if one.name == column)
    return next(meanings)


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "slice_name": chart.title,
        "description": chart.sentence,
        "viz_type": chart.kind,
        "params": params(chart),
        "query_context": json.dumps(query_context(chart)),
        "uuid": _uuid("chart", chart.name),
        "dataset_uuid": _uuid("dataset", chart.dataset.name),
        "version": _VERSION,
    }


def _dashboard() -> dict[str, Any]:
    return {
        "dashboard_title": DASHBOARD,
        "description": "Money, reconciliation and consents, from the published ledger.",
        "slug": _file(DASHBOARD),
        "published": True,
        "position": _position(),
        "metadata": {
            "color_scheme": "supersetColors",
            "cross_filters_enabled": True,
            "native_filter_configuration": [
                _filter("Time", "filter_time", [{}]),
                _filter("Currency", "filter_select", [_target("monthly_flows", "currency")]),
                _filter("Account", "filter_select", [_target("account_balances", "display_name")]),
            ],
        },
        "uuid": _uuid("dashboard", DASHBOARD),
        "version": _VERSION,
    }


def _position() -> dict[str, Any]:
    """Returns the layout of the dashboard: two charts in a row. Superset replaces `chartId` by its own."""
    rows = [CHARTS[start : start + _PER_ROW] for start in range(0, len(CHARTS), _PER_ROW)]
    grid = ["ROOT_ID", "GRID_ID"]
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {
            "type": "GRID",
            "id": "GRID_ID",
            "parents": ["ROOT_ID"],
            "children": [f"ROW-{number}" for number, _ in enumerate(rows, 1)],
        },
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": DASHBOARD}},
    }
    for number, row in enumerate(rows, 1):
        position[f"ROW-{number}"] = {
            "type": "ROW",
            "id": f"ROW-{number}",
            "parents": grid,
            "children": [f"CHART-{_number(chart)}" for chart in row],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
        for chart in row:
            position[f"CHART-{_number(chart)}"] = {
                "type": "CHART",
                "id": f"CHART-{_number(chart)}",
                "parents": [*grid, f"ROW-{number}"],
                "children": [],
                "meta": {
                    "chartId": _number(chart),
                    "uuid": _uuid("chart", chart.name),
                    "sliceName": chart.title,
                    "width": 12 // _PER_ROW,
                    "height": _HEIGHT,
                },
            }
    return position


def _filter(name: str, kind: str, targets: list[dict[str, Any]]) -> dict[str, Any]:
    excluded = [_number(chart) for chart in CHARTS if name in chart.ignored_filters]
    return {
        "id": f"NATIVE_FILTER-{name}",
        "name": name,
        "type": "NATIVE_FILTER",
        "filterType": kind,
        "targets": targets,
        "scope": {"rootPath": ["ROOT_ID"], "excluded": excluded},
        "controlValues": {"multiSelect": True, "enableEmptyFilter": False} if kind == "filter_select" else {},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
        "cascadeParentIds": [],
        "description": "",
    }


def _target(dataset: str, column: str) -> dict[str, Any]:
    return {"datasetUuid": _uuid("dataset", dataset), "column": {"name": column}}


def _number(chart: Chart) -> int:
    return CHARTS.index(chart) + 1


def _file(title: str) -> str:
    return title.lower().replace(" ", "-")


def _uuid(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, f"{kind}.{name}.kontoledger"))
