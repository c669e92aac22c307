"""The exported Superset dashboard, read as Superset reads it, and each chart's query as plain SQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from transforms.catalog.generate import DOCS

FOLDER = DOCS / "superset"


def read(folder: str) -> list[dict[str, Any]]:
    """Returns the files of a folder of the export."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / folder).rglob("*.yaml"))]


@dataclass(frozen=True)
class ExportedChart:
    """One chart with its dataset."""

    chart: Mapping[str, Any]
    dataset: Mapping[str, Any]

    @property
    def title(self) -> str:
        return str(self.chart["slice_name"])

    @property
    def query(self) -> Mapping[str, Any]:
        """The one query of the chart's context."""
        (query,) = json.loads(self.chart["query_context"])["queries"]
        return dict(query)

    @property
    def columns(self) -> list[str]:
        """The columns that the chart selects, the axis among them."""
        return [one if isinstance(one, str) else one["label"] for one in self.query["columns"]]

    @property
    def metrics(self) -> list[str]:
        return self.query["metrics"] or []

    def sql(self) -> str:
        """The query in DuckDB's SQL, as Superset writes it."""
        expressions = {one["metric_name"]: one["expression"] for one in self.dataset["metrics"]}
        read_from = (
            f"({self.dataset['sql']})" if self.dataset["sql"] else f"{self.dataset['schema']}.{self.dataset['table_name']}"
        )
        grains = {one["label"]: one["timeGrain"] for one in self.query["columns"] if isinstance(one, dict)}
        units = {"P1D": "day", "P1M": "month"}
        columns = [f"date_trunc('{units[grains[one]]}', {one}) as {one}" if one in grains else one for one in self.columns]
        metrics = [f'{expressions[one]} as "{one}"' for one in self.metrics]
        order = [f'"{name}" {"asc" if rises else "desc"}' for name, rises in self.query["orderby"]]
        return (
            f"select {', '.join([*columns, *metrics])} from {read_from} as dataset{' group by all' if metrics else ''}"
            f"{' order by ' if order else ''}{', '.join(order)} limit {self.query['row_limit']}"
        )


def charts() -> list[ExportedChart]:
    """Returns every chart with its dataset."""
    datasets = {one["uuid"]: one for one in read("datasets")}
    return [ExportedChart(chart, datasets[chart["dataset_uuid"]]) for chart in read("charts")]


def copied(folder: Path, ledger: Path) -> Path:
    """Copies the export into a folder, as a person does before zipping it: with the path of a ledger. Returns the copy."""
    for path in FOLDER.rglob("*.yaml"):
        copy = folder / FOLDER.name / path.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8").replace("/path/to/ledger.duckdb", str(ledger)), encoding="utf-8")
    return folder / FOLDER.name
