"""The dbt project in `docs/dbt/`: its source promises what a build checks, its models run, and dbt itself builds it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.ledger.worlds import MODELS
from tests.patience import patient
from tests.support import FirstRuns
from transforms.catalog.generate import DOCS
from transforms.checks import promised
from transforms.given import relations

PROJECT = DOCS / "dbt"
DBT = os.environ.get("KONTOLEDGER_DBT")
OWN = 2 + 6
"""The example models, and their tests."""
SOURCE = re.compile(r"source\('kontoledger', '(\w+)'\)")
LOUD = "DBT DID NOT BUILD THE PROJECT: KONTOLEDGER_DBT names no `dbt` program (docs/bi.md)"


def source_tests() -> Iterator[str]:
    """The tests of the source, named like the checks of a build; a relation by both of its columns."""
    (source,) = yaml.safe_load((PROJECT / "models" / "sources.yml").read_text(encoding="utf-8"))["sources"]
    for table in source["tables"]:
        name = table["name"]
        for test in table.get("data_tests", []):
            yield f"{name}.grain({', '.join(test['unique_together']['arguments']['columns'])})"
        for column in table["columns"]:
            for test in column.get("data_tests", []):
                yield f"{name}.{_said(column['name'], test)}"


def _said(column: str, test: Any) -> str:
    match test:
        case "unique":
            return f"grain({column})"
        case "not_null":
            return f"not_null({column})"
        case {"accepted_values": {"arguments": {"values": values}}}:
            return f"accepted({column}: {', '.join(values)})"
        case {"relationships": {"arguments": {"to": to, "field": field}}}:
            return f"{column} -> {SOURCE.fullmatch(to)[1]}.{field}"
        case _:
            raise AssertionError(test)


def test_the_source_tests_all_that_a_build_promises_and_every_relation() -> None:
    tested = sorted(source_tests())
    ledger = {model.name: model for model in MODELS if model.layer == "ledger"}
    grains = [f"{name}.grain({', '.join(model.grain)})" for name, model in ledger.items()]
    missing = [
        one.name.replace("accepted", "not_null") for one in promised(MODELS) if re.fullmatch(r"\w+\.not_null\(\w+\)", one.name)
    ]
    lists = [
        f"{name}.accepted({one.column}: {', '.join(one.values)})".replace("'", "")
        for name, model in ledger.items()
        for one in model.checks
        if one.kind == "accepted"
    ]
    joined = [f"{one.from_table}.{one.from_column} -> {one.to_table}.{one.to_column}" for one in relations(MODELS)]

    assert len(tested) == len(set(tested))
    assert set(grains + missing + lists + joined) - set(tested) == set()
    assert {one for one in tested if "not_null" not in one} == {*grains, *lists, *joined}


@pytest.mark.parametrize("path", sorted((PROJECT / "models").glob("*.sql")), ids=lambda path: path.stem)
def test_an_example_model_runs_on_the_ledger_and_is_described(folder: Path, path: Path) -> None:
    sql = re.sub(r"\{\{ " + SOURCE.pattern + r" \}\}", r"\1", path.read_text(encoding="utf-8"))
    described = yaml.safe_load((PROJECT / "models" / "models.yml").read_text(encoding="utf-8"))["models"]
    (columns,) = ({column["name"] for column in one["columns"]} for one in described if one["name"] == path.stem)

    with duckdb.connect(folder / "ledger.duckdb", read_only=True) as connection:
        found = connection.execute(sql)
        assert columns <= {column[0] for column in found.description or ()}
        assert found.fetchall() != []


@pytest.mark.slow
@pytest.mark.skipif(DBT is None, reason=LOUD)
def test_dbt_builds_the_project_and_all_its_tests_pass(first_runs: FirstRuns, tmp_path: Path) -> None:
    first_runs.copy(tmp_path / "data")
    shutil.copytree(PROJECT, tmp_path / "project")
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "LEDGER_FILE": str(tmp_path / "data" / "ledger.duckdb"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_PROFILES_DIR": str(tmp_path / "project"),
    }
    ended = subprocess.run(
        [str(DBT), "--no-use-colors", "build"],
        cwd=tmp_path / "project",
        env=environ,
        capture_output=True,
        text=True,
        timeout=patient(240),
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-3000:]
    assert f"PASS={len(list(source_tests())) + OWN} WARN=0 ERROR=0 SKIP=0" in ended.stdout
    with duckdb.connect(tmp_path / "project" / "analysis.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from monthly_result").fetchone() > (0,)
