"""DataFrames of the ledger: exact money, dates, moments with their zone."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import Failure, WrongUsage
from pipelines.questions.frames import frame
from tests.patience import patient
from tests.support import ROOT, FirstRuns, rows


@pytest.fixture(scope="module")
def folder(first_runs: FirstRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    first_runs.copy(folder)
    return folder


def test_money_is_exact_a_day_is_a_date_and_a_moment_has_its_zone(folder: Path) -> None:
    found = frame("transactions", data_dir=folder)

    assert {type(one) for one in found["amount"]} == {Decimal}
    assert found["amount"].sum() == rows(folder, "select sum(amount) from transactions")[0][0]
    assert dict(found.groupby("account_id")["amount"].sum().items()) == dict(
        rows(folder, "select account_id, sum(amount) from transactions group by all")
    )
    assert {type(one) for one in found["booked_on"].dropna()} == {date}
    assert isinstance(found["first_seen_at"].dtype, pd.DatetimeTZDtype)
    assert len(found) == rows(folder, "select count(*) from transactions")[0][0]
    assert not any(found[name].dtype.kind == "f" for name in found.columns)


def test_a_query_gives_a_frame_too(folder: Path) -> None:
    found = frame("select currency, count(*) as n, null::bigint as none from transactions group by all", data_dir=folder)

    assert str(found["none"].dtype) == str(found["n"].dtype) == "Int64"
    assert found["n"].sum() == rows(folder, "select count(*) from transactions")[0][0]


def test_a_table_that_is_not_there_and_a_query_that_is_none_are_named(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="Did you mean transactions") as caught:
        frame("transaction", data_dir=folder)
    assert "`transaction`" in str(caught.value)
    with pytest.raises(WrongUsage, match="not understood"):
        frame("select from where", data_dir=folder)
    with pytest.raises(WrongUsage, match="gives no rows"):
        frame("-- nothing", data_dir=folder)
    with pytest.raises(Failure, match="no ledger"):
        frame("transactions", data_dir=folder / "nothing")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select counterparty_name::int from transactions", "cannot be computed"),
        ("select * from read_csv('/etc/hosts')", "another file"),
        ("copy accounts to 'accounts.csv'", "another file"),
        ("select date '10000-01-01'", "years 1 to 9999"),
    ],
)
def test_a_query_that_cannot_be_computed_is_no_damage_of_the_ledger(folder: Path, query: str, said: str) -> None:
    with pytest.raises(WrongUsage, match=said) as caught:
        frame(query, data_dir=folder)
    assert "transform" not in str(caught.value)


def test_a_small_or_large_whole_number_makes_no_float(folder: Path) -> None:
    found = frame("select 1::smallint as a, 18446744073709551615::ubigint as b union all select null, null", data_dir=folder)

    assert [str(kind) for kind in found.dtypes] == ["Int64", "UInt64"]
    assert found["b"][0] == 2**64 - 1


def test_a_table_may_be_named_with_its_catalog(folder: Path) -> None:
    assert len(frame("ledger.accounts", data_dir=folder)) == len(frame("accounts", data_dir=folder))


def test_without_pandas_it_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(Failure, match="pip install pandas"):
        frame("transactions", data_dir=folder)


def test_the_readmes_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIPELINES__DATA_DIR", str(folder))
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    exec(compile(example, "README.md", "exec"), {})  # noqa: S102  # our own text

    ((total,),) = rows(folder, "select sum(amount) from transactions where currency = 'EUR' and status = 'booked'")
    assert str(total) in capsys.readouterr().out


def test_the_notebook_shows_the_ledgers_sums(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES__DATA_DIR", str(folder))
    notebook = runpy.run_path(str(ROOT / "docs" / "notebook.py"), run_name="notebook")

    _, defined = notebook["app"].run()

    months = defined["months"].stack().to_dict()
    query = "select strftime(booked_on, '%Y-%m'), currency, sum(amount) from transactions where status = 'booked' group by all"
    assert {key: total for key, total in months.items() if total == total} == {  # a month without any is NaN
        (month, currency): total for month, currency, total in rows(folder, query)
    }


def test_marimo_finds_this_project_from_any_folder(tmp_path: Path) -> None:
    """It is not installed as a package: the path to it is in pyproject.toml, above the notebook."""
    project = tmp_path / "project"
    (project / "docs").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / "pipelines").symlink_to(ROOT / "pipelines")
    notebook = project / "docs" / "notebook.py"
    notebook.write_text("import marimo\napp = marimo.App()\n@app.cell\ndef _():\n    import pipelines\n", encoding="utf-8")

    program = [sys.executable, "-m", "marimo", "export", "html", str(notebook), "-o", str(tmp_path / "page")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(
        program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=patient(60), check=False
    )

    assert ended.returncode == 0, ended.stderr
