"""docs/bi.md: its snippets run, and what it says about exact money and about readers that stay open is so."""

import re
import shutil
from datetime import date, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from tests.ledger.worlds import RICH
from tests.questions.asked import ask, data_dir
from tests.support import ROOT, rows

GUIDE = (ROOT / "docs" / "bi.md").read_text(encoding="utf-8")
TRIED_BY_HAND = {"polars": ".pl()", "ibis": "import ibis", "duckdb_engine": "duckdb:///"}
"""Packages that the tests do not install, and what their snippets hold: the guide names the versions with which they were run."""
TOTALS = "select currency, sum(amount) from transactions where status = 'booked' group by all"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with its exports."""
    folder = data_dir(tmp_path_factory.mktemp("guide"), RICH)
    for kind in ("xlsx", "parquet", "csv"):
        ask(folder, "export", "--format", kind)
    return folder


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def by_hand(snippet: str) -> bool:
    return any(mark in snippet and find_spec(package) is None for package, mark in TRIED_BY_HAND.items())


def run(snippet: str) -> dict[str, Any]:
    """Returns the names that a snippet leaves, its connections closed."""
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/bi.md", "exec"), names)  # noqa: S102  # our own text
    if isinstance(ledger := names.get("ledger"), duckdb.DuckDBPyConnection):
        ledger.close()
    return names


@pytest.mark.parametrize("snippet", [one for one in snippets("python") if not by_hand(one)])
def test_each_snippet_runs_in_the_data_directory(folder: Path, snippet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert run(snippet)


def test_only_snippets_of_packages_that_are_not_installed_are_left_to_hand() -> None:
    left = [one for one in snippets("python") if by_hand(one)]

    assert len(left) <= len(TRIED_BY_HAND)  # each has one
    assert len(snippets("python")) > len(TRIED_BY_HAND)


def test_the_sql_of_the_guide_reads_an_attached_file(folder: Path, tmp_path: Path) -> None:
    """With the alias that it names: `as_of` after `use`, and the filter that says the same without."""
    shutil.copy(folder / "ledger.duckdb", tmp_path / "march.duckdb")
    attach, filtered = (one.replace("2026-03-01 12:00", "2030-03-01 12:00") for one in snippets("sql"))
    with duckdb.connect() as connection:
        connection.execute(attach.replace("'march.duckdb'", f"'{tmp_path / 'march.duckdb'}'"))
        (known,) = connection.fetchone() or (0,)
        connection.execute("use memory")

        assert known > 0
        assert len(connection.execute(filtered).fetchall()) == known


def test_pandas_is_exact_by_arrow_by_tuples_and_by_frame_but_not_by_df(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (snippet,) = [one for one in snippets("python") if "ArrowDtype" in one]
    truth = dict(rows(folder, TOTALS))

    found = run(snippet)

    assert str(found["floats"].dtypes["amount"]) == "float64"
    assert str(found["arrow"].dtypes["amount"]) == "decimal128(18, 2)[pyarrow]"
    assert found["arrow"].groupby("currency")["amount"].sum().to_dict() == truth
    assert found["decimals"].groupby("currency")["amount"].sum().to_dict() == truth
    assert {type(amount) for _, amount in found["rows"]} == {Decimal}


def test_an_exported_amount_is_exact_in_parquet_and_in_csv_and_a_plain_number_in_a_workbook(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (snippet,) = [one for one in snippets("python") if "read_excel" in one]
    ((total,),) = rows(folder, "select sum(amount) from transactions")

    found = run(snippet)

    assert str(found["exact"].schema.field("amount").type) == "decimal128(18, 2)"
    assert found["text"]["amount"].sum() == total
    assert found["sheet"].dtypes["amount"].kind in "if"  # a number of 15 digits
    assert isinstance(found["sheet"]["booked_on"].dropna().iloc[0], pd.Timestamp | datetime | date)
    assert {type(one) for one in found["sheet"]["source_transaction_id"].dropna()} <= {str}


def test_a_process_sees_a_new_ledger_once_it_has_closed_all_connections_to_the_old_one(folder: Path, tmp_path: Path) -> None:
    ledger, asked = tmp_path / "ledger.duckdb", "select run_id from about"

    def publish(run_id: str) -> None:
        new = shutil.copy(folder / "ledger.duckdb", tmp_path / "new.duckdb")
        with duckdb.connect(new) as connection:
            connection.execute("update about set run_id = $1", [run_id])
        Path(new).replace(ledger)

    publish("first")
    with duckdb.connect(ledger, read_only=True) as still_open, duckdb.connect() as other:
        assert still_open.execute(asked).fetchall() == [("first",)]
        publish("second")
        with duckdb.connect(ledger, read_only=True) as second:
            assert second.execute(asked).fetchall() == still_open.execute(asked).fetchall() == [("first",)]
        other.execute(f"attach '{ledger}' as attached_anew (read_only); use attached_anew")
        assert other.execute(asked).fetchall() == [("second",)]
    with duckdb.connect(ledger, read_only=True) as reopened:
        assert reopened.execute(asked).fetchall() == [("second",)]
