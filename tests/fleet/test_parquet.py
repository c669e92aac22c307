"""The files of all cells that any engine reads by a glob."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents.database import Database
from pipelines.consents.tables import cells
from pipelines.errors import Failure
from pipelines.fleet.parquet import export_fleet
from pipelines.settings import Settings
from pipelines.store.ledger import RECORD
from tests.fleet.small_ledgers import small_ledger


def cell(settings: Settings, number: int, amounts: list[str], **more: Any) -> None:
    """Puts a ledger into a cell's folder, as a run does."""
    folder = settings.fleet.folder / f"cell-{number:04d}"
    small_ledger(folder / "ledger.duckdb", amounts, **more)
    (folder / RECORD).touch()


def globbed(folder: Path, table: str, query: str) -> list[tuple[Any, ...]]:
    """Asks the files of one table, as any engine does."""
    files = f"read_parquet('{folder}/{table}/*/*.parquet', hive_partitioning = true)"
    return duckdb.execute(query.format(files)).fetchall()


def test_a_glob_over_the_cells_has_the_rows_of_every_ledger(settings: Settings, database: Database, tmp_path: Path) -> None:
    cell(settings, 0, ["1.10", "-0.20"])
    cell(settings, 2, ["5.00"])

    done = export_fleet(settings, database, tmp_path / "out")

    assert done.written == ["cell-0000", "cell-0002"]
    sums = "select cell, count(*), sum(amount) from {} group by cell order by cell"
    expected = [("cell-0000", 2, Decimal("0.90")), ("cell-0002", 1, Decimal("5.00"))]
    assert globbed(tmp_path / "out", "transactions", sums) == expected
    assert globbed(tmp_path / "out", "cell_marks", "select cell, transactions, amount from {} order by cell") == expected
    assert globbed(tmp_path / "out", "holes", "select count(*) from {}") == [(0,)]


def test_a_later_export_replaces_what_changed_and_leaves_nothing_of_the_ledger_before(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    cell(settings, 0, ["1.10", "987654.32"], holder="Zzyzx Erased")
    cell(settings, 1, ["2.00"])
    with duckdb.connect(settings.fleet.folder / "cell-0000" / "ledger.duckdb") as connection:
        connection.execute("create table older as select display_name from owners")
    export_fleet(settings, database, tmp_path / "out")
    untouched = (tmp_path / "out/transactions/cell=cell-0001/transactions.parquet").stat()
    cell(settings, 0, ["1.10"])

    done = export_fleet(settings, database, tmp_path / "out")

    assert (done.written, done.unchanged) == (["cell-0000"], ["cell-0001"])
    assert (tmp_path / "out/transactions/cell=cell-0001/transactions.parquet").stat() == untouched
    left = [
        str(row)
        for path in (tmp_path / "out").rglob("*.parquet")
        for row in duckdb.execute(f"select t::varchar from read_parquet('{path}') as t").fetchall()
    ]
    assert [row for row in left if "Zzyzx" in row or "987654" in row] == []
    assert not (tmp_path / "out/older/cell=cell-0000/older.parquet").exists()


def test_a_ledger_that_is_not_of_the_newest_raw_history_is_not_written(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Another machine has stored a later one; or it was fetched, and the ledger of it is not built yet."""
    cell(settings, 0, ["1.10"])
    cell(settings, 1, ["2.00"])
    database.write(cells.update().where(cells.c.cell == "cell-0000").values(version=3, object="cell-0000/3"))
    (settings.fleet.folder / "cell-0001" / RECORD).unlink()

    assert export_fleet(settings, database, tmp_path / "out").written == []


def test_an_export_that_breaks_off_is_written_again(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(settings, 0, ["1.10"])
    (tmp_path / "out/transactions/cell=cell-0000/transactions.parquet").mkdir(parents=True)
    with pytest.raises(Failure, match="The files of cell-0000 cannot be written"):
        export_fleet(settings, database, tmp_path / "out")
    (tmp_path / "out/transactions/cell=cell-0000/transactions.parquet").rmdir()

    assert export_fleet(settings, database, tmp_path / "out").written == ["cell-0000"]
    assert globbed(tmp_path / "out", "transactions", "select sum(amount) from {}") == [(Decimal("1.10"),)]


def test_a_ledger_that_is_damaged_is_named_and_stops_no_other(settings: Settings, database: Database, tmp_path: Path) -> None:
    for number in range(3):
        cell(settings, number, ["1.10"])
    (settings.fleet.folder / "cell-0001" / "ledger.duckdb").write_bytes(b"no ledger at all" * 1000)

    done = export_fleet(settings, database, tmp_path / "out")

    assert done.written == ["cell-0000", "cell-0002"]
    (trouble,) = done.troubles
    assert trouble.startswith(f"cell-0001: The ledger {settings.fleet.folder}/cell-0001/ledger.duckdb cannot be read")
    assert f"transform --data-dir {settings.fleet.folder}/cell-0001" in trouble


def test_files_that_are_older_than_an_erasure_on_another_machine_are_removed_and_newer_ones_stay(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    database.write(cells.update().values(version=2))
    for number in range(3):
        cell(settings, number, ["987654.32"], holder="Zzyzx Erased")
    export_fleet(settings, database, out)
    (out / "cell_marks/cell=cell-0002/cell_marks.parquet").unlink()  # an export that was killed
    elsewhere = cells.update().values(version=4, object="elsewhere")
    database.write(elsewhere.where(cells.c.cell.in_(["cell-0000", "cell-0002"])).values(erased_version=3))
    database.write(elsewhere.where(cells.c.cell == "cell-0001").values(erased_version=2))

    done = export_fleet(settings, database, out)

    assert (done.written, done.removed) == ([], ["cell-0000", "cell-0002"])
    assert {path.parent.name for path in out.rglob("*.parquet")} == {"cell=cell-0001"}
    assert export_fleet(settings, database, out).removed == []
