"""What a run does not import: each library costs every run its time."""

from pathlib import Path

from sources.sandbox import World
from tests.support import AUTUMN, Ended, a_bank, begun_anew, ended, environment

UNUSED = {"sqlalchemy.engine", "cryptography", "rich", "numpy.version", "pandas.errors", "prefect"}
OF_THE_VAULT = {f"pipelines.consents.{name}" for name in ("vault", "database", "quota", "keyring")}
"""They import SQLAlchemy, for 0.3 s."""
NAMED = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Has Python name on standard error what it imports."""


def test_a_run_without_a_vault_imports_neither_its_libraries_nor_the_other_bank(tmp_path: Path) -> None:
    settings = {"SOURCES__KONTIST__PASSWORD": "wrong", "SOURCES__KONTOMATIK__API_KEY": "", **NAMED}
    with a_bank(World(today=AUTUMN)) as bank:
        run = ended(begun_anew(tmp_path, environment(bank, **settings), "run", "--json"))
    imported = _imported(run)

    assert run.parsed["sources"]["kontist"]["errors"]
    assert imported >= {"duckdb", "httpx", "pipelines.notify.dispatch", "pipelines.read.kontist"}
    assert imported & (UNUSED | OF_THE_VAULT | {"pipelines.read.kontomatik"}) == set()


def test_status_imports_no_client_of_a_bank(tmp_path: Path) -> None:
    imported = _imported(ended(begun_anew(tmp_path, NAMED, "status", "--json")))

    assert "pipelines.questions.status" in imported
    assert imported & (UNUSED | OF_THE_VAULT | {"httpx", "lxml.etree", "pyarrow.parquet"}) == set()


def _imported(process: Ended) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in process.err.splitlines() if line.startswith("import time:")}
