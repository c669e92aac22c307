"""Everything that is generated below `docs/` is current; `catalogue.md` is what the ledger says of itself."""

from pathlib import Path

import duckdb
import pytest

from tests.ledger.worlds import LEDGER, MODELS, raw_file
from transforms import comments
from transforms.build import build
from transforms.catalog.__main__ import main
from transforms.catalog.generate import DOCS, generated
from transforms.checks import singular
from transforms.errors import ModelError


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    return build(raw_file(folder / "raw.duckdb", {}), folder / "ledger.duckdb").path


def test_every_generated_file_is_current(ledger: Path) -> None:
    """To correct them: build any ledger, then `python -m transforms.catalog LEDGER`."""
    made = generated(ledger)
    kept = {str(path.relative_to(DOCS)) for path in (DOCS / "superset").rglob("*") if path.is_file()}

    assert {path: (DOCS / path).read_text(encoding="utf-8") for path in made} == made
    assert kept == {path for path in made if path.startswith("superset/")}


def test_the_page_shows_every_table_check_and_model(ledger: Path) -> None:
    page = generated(ledger)["catalogue.md"]

    assert [table for table in LEDGER if f"## `{table}`" not in page] == []
    assert [name for name, _, _ in singular() if f"| `{name}` |" not in page] == []
    assert [model.table for model in MODELS if f"--> {model.table.replace('.', '_')}\n" not in page] == [
        "intermediate.int_minor_units"
    ]


def test_the_files_are_written_from_the_ledger_that_is_named(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("transforms.catalog.generate.DOCS", tmp_path)
    old = tmp_path / "superset" / "charts" / "of_an_earlier_version.yaml"
    old.parent.mkdir(parents=True)
    old.touch()

    assert main([str(tmp_path / "none.duckdb")]) == 1
    assert "usage: python -m transforms.catalog" in capsys.readouterr().err
    assert main([str(ledger)]) == 0
    written = {str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*")}
    assert written == generated(ledger)


def test_the_dictionary_explains_no_column_that_is_not_there(ledger: Path) -> None:
    with duckdb.connect(ledger, read_only=True) as connection:
        columns = set(connection.execute("select table_name, column_name from duckdb_columns() where not internal").fetchall())
    words = dict(comments.dictionary())
    shared = words.pop(comments.SHARED)

    assert {(table, column) for table, own in words.items() for column in own} <= columns
    assert set(shared) <= {column for table, column in columns if column not in words.get(table, {})}


def test_a_column_that_nobody_explained_stops_the_build() -> None:
    with pytest.raises(ModelError, match=r"columns.toml does not say what `accounts.mystery` means"):
        comments.meaning("accounts", "mystery")
