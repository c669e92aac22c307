"""The Superset dashboard: every column, expression and filter of it exists in the ledger."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from pipelines.report_page.page_options import PageOptions
from pipelines.report_page.scope import DAYS, Scope
from tests.ledger.exported_charts import ExportedChart, charts, read
from transforms.catalog.superset_datasets import FLOWS, RECONCILIATION

CHARTS = charts()
(DASHBOARD,) = read("dashboards")
BY_TITLE = {one.title: one for one in CHARTS}
each_chart = pytest.mark.parametrize("one", CHARTS, ids=lambda one: one.title)


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A ledger in which every table has rows, opened by itself, as Superset opens it."""
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        yield connection


def test_there_are_eight_charts_and_the_dashboard_shows_each_once() -> None:
    shown = [
        part["meta"]["uuid"] for part in DASHBOARD["position"].values() if isinstance(part, dict) and part["type"] == "CHART"
    ]

    assert len(CHARTS) == 8
    assert sorted(shown) == sorted(one.chart["uuid"] for one in CHARTS)
    assert all(UUID(one) for one in shown)


@each_chart
def test_every_chart_has_an_answer_in_the_ledger(ledger: duckdb.DuckDBPyConnection, one: ExportedChart) -> None:
    assert ledger.execute(one.sql()).fetchall() != []


@each_chart
def test_the_page_of_a_chart_asks_what_its_query_asks(one: ExportedChart) -> None:
    params = one.chart["params"]
    groups = params.get("groupbyRows", []) + params.get("groupbyColumns", []) or params.get("groupby") or params["all_columns"]
    axis = [params["x_axis"]] if "x_axis" in params else []

    assert axis + groups == one.columns
    assert params.get("metrics", []) == one.metrics
    assert params["viz_type"] == one.chart["viz_type"]


def test_every_dataset_has_the_columns_of_its_query_each_with_its_meaning(ledger: duckdb.DuckDBPyConnection) -> None:
    for dataset in read("datasets"):
        query = dataset["sql"] or f"select * from {dataset['schema']}.{dataset['table_name']}"
        found = [row[:2] for row in ledger.execute(f"describe {query}").fetchall()]

        assert [(one["column_name"], one["type"]) for one in dataset["columns"]] == found
        assert all(one["description"] for one in dataset["columns"])


def test_every_expression_gives_a_value_and_is_named_like_no_column(ledger: duckdb.DuckDBPyConnection) -> None:
    for dataset in read("datasets"):
        query = dataset["sql"] or f"select * from {dataset['table_name']}"
        for metric in dataset["metrics"]:
            (found,) = ledger.execute(f"select {metric['expression']} from ({query})").fetchall()
            assert found != (None,), metric
            assert metric["metric_name"].lower() not in {one["column_name"] for one in dataset["columns"]}


def test_no_chart_adds_amounts_of_two_currencies() -> None:
    of_money = [one for one in CHARTS if one.metrics and one.metrics != ["Days of accounts"]]

    assert len(of_money) == 6
    assert [one.title for one in of_money if not {"currency", "display_name"} & set(one.columns)] == []


def test_a_filter_reaches_the_charts_that_have_its_column_and_no_other() -> None:
    numbers = {
        part["meta"]["uuid"]: part["meta"]["chartId"]
        for part in DASHBOARD["position"].values()
        if isinstance(part, dict) and part["type"] == "CHART"
    }
    datasets = {one["uuid"]: {column["column_name"] for column in one["columns"]} for one in read("datasets")}
    filters = {one["name"]: one for one in DASHBOARD["metadata"]["native_filter_configuration"]}

    for name in ("Currency", "Account"):
        (target,) = filters[name]["targets"]
        column = target["column"]["name"]
        missing = [numbers[one.chart["uuid"]] for one in CHARTS if column not in datasets[one.dataset["uuid"]]]
        assert column in datasets[target["datasetUuid"]]
        assert sorted(filters[name]["scope"]["excluded"]) == sorted(missing)
    in_the_future = numbers[BY_TITLE["Expected balance by account"].chart["uuid"]]
    without_time = [numbers[one.chart["uuid"]] for one in CHARTS if one.dataset["main_dttm_col"] is None]
    assert sorted(filters["Time"]["scope"]["excluded"]) == sorted([in_the_future, *without_time])


def test_balances_are_those_of_the_last_day_at_any_time_grain(ledger: duckdb.DuckDBPyConnection) -> None:
    chart = BY_TITLE["Balance by account"]
    ends = ledger.execute(
        "select display_name, closing_balance from balances_daily inner join accounts using (account_id)"
        " qualify day = max(day) over (partition by account_id, date_trunc('month', day)) order by all"
    ).fetchall()

    by_month = chart.sql().replace("date_trunc('day'", "date_trunc('month'")
    assert sorted(row[1:] for row in ledger.execute(by_month).fetchall()) == ends


def test_days_have_the_states_of_the_report_page(folder: Path) -> None:
    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        Scope(connection, PageOptions())
        theirs = connection.execute(f"select account_id, day, cast(state as varchar) from {DAYS} order by all").fetchall()
        ours = connection.execute(f"select account_id, day, state from ({RECONCILIATION.sql}) order by all").fetchall()

    assert len({state for _, _, state in ours}) > 2
    assert ours == theirs


def test_own_transfers_are_neither_money_in_nor_money_out(ledger: duckdb.DuckDBPyConnection) -> None:
    moved = "select count(*) from cash_flow_monthly"
    counted = f"select count(*) from ({FLOWS.sql})"
    own = "select count(*) from cash_flow_monthly where ledger_account in ('Assets:Transit', 'Equity:Conversions')"
    (all_rows,), (rows,), (own_rows,) = (ledger.execute(query).fetchone() or () for query in (moved, counted, own))

    assert own_rows > 0
    assert rows == all_rows - own_rows
