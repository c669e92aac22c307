"""The sources' arguments are the program's settings, and cost no import of dlt before somebody asks for a source."""

import inspect
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import KontistSettings, KontomatikSettings, load_settings
from pipelines.settings.names import DLT_SOURCES
from sources.kontist import kontist
from sources.kontomatik import kontomatik
from tests.dlt_sources.desk import kontomatik_desk
from tests.patience import patient
from tests.support import ROOT, World, a_bank

SOURCES = [("sources.kontist", kontist, KontistSettings), ("sources.kontomatik", kontomatik, KontomatikSettings)]


@pytest.mark.parametrize(("section", "source", "settings"), SOURCES)
def test_an_argument_has_the_name_and_the_default_of_the_setting(section: str, source: Any, settings: Any) -> None:
    arguments = {
        name: argument.default
        for name, argument in inspect.signature(source).parameters.items()
        if not name.startswith(("on_new_", "_"))
    }
    ours = {name: field.default for name, field in settings.__dataclass_fields__.items()}

    assert set(arguments) - set(ours) == DLT_SOURCES[section]
    secret = {"api_key"}  # dlt.secrets.value
    assert {name: arguments[name] for name in set(arguments) & set(ours) - secret} == {
        name: ours[name] for name in set(arguments) & set(ours) - secret
    }


@pytest.mark.parametrize("source", [kontist, partial(kontomatik, api_key="k", multiple_access_token="t")])
@pytest.mark.parametrize("slip", [{"since": "2226-01-01"}, {"lag": -1}, {"lag": 10**7}])
def test_a_slip_that_a_cursor_would_keep_is_refused(source: Any, slip: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lies in the future|lag must be"):
        source(**{"email": "a", "password": "b"} | slip if source is kontist else slip)


def test_settings_of_the_sources_do_not_stop_a_run(tmp_path: Path) -> None:
    environment = {"SOURCES__KONTOMATIK__MULTIPLE_ACCESS_TOKEN": "token", "SOURCES__KONTIST__SINCE": "2025-01-01"}
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text('[sources.kontomatik]\nmultiple_access_token = "token"\n')

    assert load_settings(environment=environment, folder=tmp_path).kontomatik.api_key is None


def test_importing_a_bank_imports_no_dlt() -> None:
    asking = "import sys, sources.kontist, sources.kontomatik; print(sorted({'dlt', 'pyarrow', 'httpx'} & set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", asking], cwd=ROOT, capture_output=True, text=True, timeout=patient(30), check=True
    )

    assert told.stdout == "[]\n"


def first_snippet(bank: str) -> str:
    """Returns the Python with which a source's README begins."""
    text = (ROOT / "sources" / bank / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:1]
    assert len(found.splitlines()) <= 10
    return str(found)


# DuckDB 2.0 makes the DataFrame in a way that pandas 3.1 calls deprecated.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_kontists_readme_begins_with_lines_that_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with a_bank(World(transactions=20)) as bank:
        monkeypatch.setenv("SOURCES__KONTIST__BASE_URL", bank.url)
        monkeypatch.setenv("SOURCES__KONTIST__EMAIL", bank.world.kontist_email)
        monkeypatch.setenv("SOURCES__KONTIST__PASSWORD", bank.world.kontist_password)
        exec(first_snippet("kontist"), {})  # noqa: S102

    assert "amount_cents" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_kontomatiks_readme_begins_with_lines_that_run(
    in_duckdb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with kontomatik_desk(in_duckdb, transactions=200) as own:
        monkeypatch.setenv("SOURCES__KONTOMATIK__BASE_URL", f"{own.bank.url}/v1")
        monkeypatch.setenv("SOURCES__KONTOMATIK__API_KEY", own.world.kontomatik_api_key)
        monkeypatch.setenv("SOURCES__KONTOMATIK__MULTIPLE_ACCESS_TOKEN", own.token)
        monkeypatch.setenv("SOURCES__KONTOMATIK__POLL_INTERVAL", "0.01")
        exec(first_snippet("kontomatik"), {})  # noqa: S102

    assert "amount" in capsys.readouterr().out
