"""Superset itself imports the dashboard and answers every chart, as docs/bi.md describes it.

It is no package of ours: `KONTOLEDGER_SUPERSET` names the `superset` program of a virtual environment of its own.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.ledger.exported_charts import charts, copied
from tests.patience import patient
from tests.support import FirstRuns

SUPERSET = os.environ.get("KONTOLEDGER_SUPERSET")
LOUD = "SUPERSET DID NOT IMPORT THE DASHBOARD: KONTOLEDGER_SUPERSET names no `superset` program (docs/bi.md)"
PASSWORD = "of this test"


@pytest.mark.slow
@pytest.mark.skipif(SUPERSET is None, reason=LOUD)
def test_superset_answers_every_chart_with_the_numbers_of_the_ledger(first_runs: FirstRuns, tmp_path: Path) -> None:
    first_runs.copy(tmp_path / "data")
    ledger = tmp_path / "data" / "ledger.duckdb"
    copied(tmp_path, ledger)
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "superset.zip", "superset"], cwd=tmp_path, check=True)
    environ = _environment(tmp_path)
    program = Path(str(SUPERSET))
    person = ["--username=admin", "--firstname=a", "--lastname=b", "--email=a@example.com", f"--password={PASSWORD}"]
    for arguments in (
        ["db", "upgrade"],
        ["fab", "create-admin", *person],
        ["init"],
        ["import-dashboards", "-p", "superset.zip", "-u", "admin"],
    ):
        _run([program, *arguments], tmp_path, environ)
    _run([program.with_name("python"), Path(__file__).with_name("superset_answers.py")], tmp_path, environ)

    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    with duckdb.connect(ledger, read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for one in charts():
            cursor = connection.execute(one.sql())
            names = [column[0] for column in cursor.description or ()]
            expected = [dict(zip(names, map(_shown, row), strict=True)) for row in cursor.fetchall()]
            assert expected != []
            assert _counted(answers.pop(one.title)) == _counted(expected), one.title
    assert answers == {}


def _environment(folder: Path) -> dict[str, str]:
    config = folder / "superset_config.py"
    config.write_text(
        f"SECRET_KEY = {'of this test only ' * 3!r}\n"
        f"SQLALCHEMY_DATABASE_URI = {f'sqlite:///{folder}/superset.db'!r}\n"
        "WTF_CSRF_ENABLED = TALISMAN_ENABLED = RATELIMIT_ENABLED = False\n",
        encoding="utf-8",
    )
    ours = {"SUPERSET_CONFIG_PATH": config, "SUPERSET_HOME": folder, "FLASK_APP": "superset", "ANSWERS": folder / "answers.json"}
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        **{name: str(value) for name, value in ours.items()},
        "ADMIN_PASSWORD": PASSWORD,
    }


def _run(command: list[Any], folder: Path, environ: dict[str, str]) -> None:
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=patient(180), check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def _shown(value: Any) -> Any:
    """Returns a value as Superset's API shows it: numbers as floats, times as milliseconds."""
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return value.timestamp() * 1000
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1000
        case _:
            return value


def _counted(rows: list[dict[str, Any]]) -> Counter[str]:
    """Returns how often each row is there, whatever the order. Instants are compared to the second."""
    return Counter(
        json.dumps(
            {key: round(value, 2 if value < 1e11 else -3) if isinstance(value, float) else value for key, value in row.items()}
        )
        for row in rows
    )
