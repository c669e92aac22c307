"""What the file answers by itself: `as_of`, and the view of changes, in any client that opens it."""

import shutil
from pathlib import Path

import duckdb
import pytest

from tests.ledger.worlds import RICH, raw_file
from transforms.build import build
from transforms.errors import ModelError
from transforms.macros import macros


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    return build(raw_file(folder / "raw.duckdb", RICH), folder / "ledger.duckdb").path


def test_as_of_shows_the_transactions_as_they_were_known_then(ledger: Path) -> None:
    with duckdb.connect(ledger, read_only=True) as connection:
        changed = "min(description) filter (where description in ('before', 'after'))"
        before = f"select count(*), {changed} from ledger.as_of(timestamptz '2026-03-02 06:00:00+00')"
        assert connection.execute(before).fetchall() == [(14, "before")]
        assert connection.execute(f"select {changed} from as_of('2026-03-04 06:00:00+00')").fetchall() == [("after",)]
        assert connection.execute("select count(*) from ledger.as_of('2026-03-02 05:59:59+00')").fetchall() == [(0,)]


def test_now_as_of_is_the_transactions(ledger: Path) -> None:
    with duckdb.connect(ledger, read_only=True) as connection:
        difference = "(from as_of('2030-01-01 00:00:00+00') except all from transactions)"
        assert connection.execute(f"select count(*) from {difference}").fetchall() == [(0,)]
        described = connection.execute("describe from as_of('2030-01-01 00:00:00+00')").fetchall()
        assert described == connection.execute("describe transactions").fetchall()


@pytest.mark.parametrize("name", ["ledger", "other"])
def test_the_file_answers_under_any_name_and_any_alias(ledger: Path, tmp_path: Path, name: str) -> None:
    """`as_of` reads the catalog in use: an attached file answers it after `use ALIAS`. Views answer without it, too."""
    file = shutil.copy(ledger, tmp_path / f"{name}.duckdb")
    count = "select count(*) from as_of('2030-01-01 00:00:00+00')"
    with duckdb.connect(file, read_only=True) as connection:
        assert connection.execute(count).fetchall() == [(13,)]
        changes = connection.execute("select count(*) from changes").fetchall()
        assert changes != [(0,)]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{ledger}' as {name} (read_only)")
        assert connection.execute(f"select count(*) from {name}.changes").fetchall() == changes
        with pytest.raises(duckdb.CatalogException, match="transaction_history"):
            connection.execute(count.replace("as_of", f"{name}.as_of"))
        connection.execute(f"use {name}")
        assert connection.execute(count).fetchall() == [(13,)]
        assert connection.execute(count.replace("as_of", f"{name}.as_of")).fetchall() == [(13,)]


def test_every_macro_carries_its_sentence(ledger: Path) -> None:
    with duckdb.connect(ledger, read_only=True) as connection:
        said = dict(
            connection.execute(
                "select function_name, comment from duckdb_functions() where database_name = 'ledger' and not internal"
            ).fetchall()
        )

    assert said == {macro.name: macro.sentence for macro in macros()}


def test_a_macro_without_its_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.sql").write_text("select 1", encoding="utf-8")

    with pytest.raises(ModelError, match=r"/broken\.sql must begin"):
        list(macros(tmp_path))
