"""The eight charts of the Superset dashboard: what each shows, and the query and the settings that Superset needs for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from transforms.catalog import superset_datasets as datasets
from transforms.catalog.superset_datasets import Dataset

MONEY_FORMAT = ",.2f"
_DAY, _MONTH = "P1D", "P1M"
_ROWS = 50_000
_LINE: Mapping[str, Any] = MappingProxyType({"seriesType": "line", "connectNulls": True})
_STACK: Mapping[str, Any] = MappingProxyType({"stack": "Stack", "y_axis_format": "SMART_NUMBER"})


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. It has an axis of time, or it is a table: of groups where it has metrics, else of rows."""

    title: str
    sentence: str
    kind: str
    """Superset's name for the kind of chart (`viz_type`)."""
    dataset: Dataset
    axis: str | None = None
    grain: str = _DAY
    groups: tuple[str, ...] = ()
    """The columns that divide the metrics; of a table of rows, its columns."""
    metrics: tuple[str, ...] = ()
    order: tuple[str, bool] | None = None
    """The metric or column to order by, and whether it ascends."""
    rows: int = _ROWS
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind of chart has, by Superset's names."""
    ignored_filters: tuple[str, ...] = ()
    """Names of the dashboard's filters that mean nothing here."""

    @property
    def name(self) -> str:
        """Returns the title as the name of a file."""
        return self.title.lower().replace(" ", "_")


CHARTS = (
    Chart(
        title="Net worth by currency",
        sentence="Sum of the closing balances of all accounts, by day. Currencies are not added.",
        kind="echarts_timeseries_line",
        dataset=datasets.NET_WORTH,
        axis="day",
        groups=("currency",),
        metrics=("Net worth",),
        settings=_LINE,
        ignored_filters=("Account",),
    ),
    Chart(
        title="Balance by account",
        sentence="Closing balance of each account, by day, in the currency of the account.",
        kind="echarts_timeseries_line",
        dataset=datasets.BALANCES,
        axis="day",
        groups=("display_name",),
        metrics=("Closing balance",),
        settings=_LINE,
    ),
    Chart(
        title="Money in and out by month",
        sentence="Without own transfers and exchanges, by currency.",
        kind="echarts_timeseries_bar",
        dataset=datasets.FLOWS,
        axis="month",
        grain=_MONTH,
        groups=("currency",),
        metrics=("Money in", "Money out"),
    ),
    Chart(
        title="Categories by month",
        sentence="Net amount of each category, by currency. Money out is negative.",
        kind="pivot_table_v2",
        dataset=datasets.FLOWS,
        groups=("currency", "category_group", "category", "month"),
        metrics=("Net amount",),
        settings={
            "groupbyRows": ["currency", "category_group", "category"],
            "groupbyColumns": ["month"],
            "temporal_columns_lookup": {"month": True},
            "time_grain_sqla": _MONTH,
            "date_format": "%Y-%m",
            "valueFormat": MONEY_FORMAT,
            "metricsLayout": "COLUMNS",
            "aggregateFunction": "Sum",
            "rowOrder": "key_a_to_z",
            "colOrder": "key_z_to_a",
        },
    ),
    Chart(
        title="Top counterparties",
        sentence="Those with the largest turnover, by currency, without own accounts.",
        kind="table",
        dataset=datasets.COUNTERPARTIES,
        groups=("counterparty", "currency"),
        metrics=("Turnover", "Money in", "Money out", "Payments"),
        order=("Turnover", False),
        rows=50,
        settings={
            "column_config": {name: {"d3NumberFormat": MONEY_FORMAT} for name in ("Turnover", "Money in", "Money out")},
        },
    ),
    Chart(
        title="Expected balance by account",
        sentence="If nothing but orders and recurring payments moves the account.",
        kind="echarts_timeseries_line",
        dataset=datasets.FORECAST,
        axis="day",
        groups=("display_name",),
        metrics=("Expected balance",),
        settings=_LINE,
        ignored_filters=("Time",),
    ),
    Chart(
        title="Reconciliation by day",
        sentence="Number of accounts whose day is proven by the bank's balance, complete, unfinished, a gap, or different.",
        kind="echarts_timeseries_bar",
        dataset=datasets.RECONCILIATION,
        axis="day",
        groups=("state",),
        metrics=("Days of accounts",),
        settings=_STACK,
    ),
    Chart(
        title="Consents and days left",
        sentence="As of the last run, the first to end on top.",
        kind="table",
        dataset=datasets.CONSENTS,
        groups=("institution", "source", "access_mode", "status", "expires_at", "days_left"),
        order=("days_left", True),
        rows=1000,
        ignored_filters=("Account", "Currency", "Time"),
    ),
)


def params(chart: Chart) -> dict[str, Any]:
    """Returns the settings with which Superset's page draws the chart."""
    common: dict[str, Any] = {"viz_type": chart.kind, "adhoc_filters": _time_filters(chart), "row_limit": chart.rows}
    if chart.axis is not None:
        axis = {
            "x_axis": chart.axis,
            "time_grain_sqla": chart.grain,
            "metrics": list(chart.metrics),
            "groupby": list(chart.groups),
            "y_axis_format": MONEY_FORMAT,
            "x_axis_time_format": "smart_date",
            "show_legend": True,
            "rich_tooltip": True,
            "zoomable": True,
            "truncate_metric": True,
        }
        return common | axis | dict(chart.settings)
    if chart.metrics:
        groups = {"query_mode": "aggregate", "groupby": list(chart.groups), "metrics": list(chart.metrics)}
        order = {"timeseries_limit_metric": chart.order[0], "order_desc": not chart.order[1]} if chart.order else {}
        return common | (groups if chart.kind == "table" else {"metrics": groups["metrics"]}) | order | dict(chart.settings)
    ordered = [f'["{chart.order[0]}", {str(chart.order[1]).lower()}]'] if chart.order else []
    rows = {"query_mode": "raw", "all_columns": list(chart.groups), "order_by_cols": ordered}
    return common | rows | dict(chart.settings)


def query_context(chart: Chart) -> dict[str, Any]:
    """Returns the query of the chart. Superset's page makes its own; reports, alerts and the API use this one."""
    columns: list[Any] = list(chart.groups)
    if chart.axis is not None:
        axis = {"label": chart.axis, "sqlExpression": chart.axis, "expressionType": "SQL"}
        columns.insert(0, axis | {"columnType": "BASE_AXIS", "timeGrain": chart.grain})
    query = {
        "columns": columns,
        "metrics": list(chart.metrics) or None,
        "filters": [{"col": one["subject"], "op": one["operator"], "val": one["comparator"]} for one in _time_filters(chart)],
        "orderby": [list(chart.order)] if chart.order else [],
        "row_limit": chart.rows,
    }
    return {"datasource": {"id": 0, "type": "table"}, "queries": [query], "result_format": "json", "result_type": "full"}


def _time_filters(chart: Chart) -> list[dict[str, str]]:
    """Returns the filter that lets the dashboard choose the time; it lets everything pass."""
    if chart.dataset.time is None:
        return []
    about = {"subject": chart.dataset.time, "operator": "TEMPORAL_RANGE", "comparator": "No filter"}
    return [{"clause": "WHERE", "expressionType": "SIMPLE"} | about]
