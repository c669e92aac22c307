"""A gap that the bank can no longer show is none any more once files cover every day of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from pipelines.read.options import Options
from pipelines.run.file_import import Wanted, import_files
from pipelines.run.file_import import read as files_at
from pipelines.store.files import covers
from pipelines.store.lock import held
from sources.files.detection import Hints
from sources.sandbox import World
from tests.consents.customers import a_bank, connected, only_ben, read, settings_for
from tests.files.bank_files import Stated, camt053
from tests.ledger.worlds import declare, fill
from tests.support import rows

MAY = [date(2024, 5, day) for day in range(1, 32)]


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as raw; use raw")
        declare(connection)
        yield connection


@pytest.mark.parametrize(
    ("stretches", "first", "last", "covered"),
    [
        ([(1, 31)], 1, 31, True),
        ([(1, 31)], 10, 10, True),
        ([(1, 10), (11, 31)], 5, 20, True),
        ([(11, 31), (1, 15)], 1, 31, True),
        ([(1, 10), (12, 31)], 5, 20, False),
        ([(1, 30)], 1, 31, False),
        ([(2, 31)], 1, 31, False),
        ([], 1, 1, False),
    ],
)
def test_files_cover_days_only_where_every_one_of_them_is_in_a_file(
    duck: duckdb.DuckDBPyConnection, stretches: list[tuple[int, int]], first: int, last: int, covered: bool
) -> None:
    imports = [{"account_id": "file:a", "window_start": MAY[one - 1], "window_end": MAY[two - 1]} for one, two in stretches]
    others = [
        {"account_id": "file:b", "window_start": MAY[0], "window_end": MAY[-1]},
        {"account_id": "file:a", "window_start": MAY[0], "window_end": MAY[-1], "status": "skipped"},
    ]
    fill(duck, {"file.imports": [*imports, *others]})

    assert covers(duck, "file:a", MAY[first - 1], MAY[last - 1]) is covered


def test_a_run_names_a_gap_until_files_cover_all_of_it(tmp_path: Path) -> None:
    with a_bank(World(transactions=12)) as (bank, _):
        only_ben(bank)
        settings = replace(settings_for(bank, tmp_path / "data"), report=False)
        connected(bank, settings)
        bank.world.clock.advance(timedelta(days=160))
        (gap,) = read(bank, settings).gaps
        iban, currency = rows(
            tmp_path / "data", "select iban, currency from kontomatik.accounts where _dlt_valid_to is null", of="raw"
        )[0]
        from_on, to_on = gap["from_on"], gap["to_on"]
        middle = from_on + timedelta(days=2)
        only = Options(("kontomatik",))
        for first, last, left in ((from_on, middle, [gap]), (middle + timedelta(days=1), to_on, [])):
            path = tmp_path / f"{first}.xml"
            path.write_text(camt053(Stated(first, last, Decimal(0)), iban=iban, currency=currency))
            with held(settings.data_dir, "test"):
                import_files(settings, files_at([path], Hints()), Wanted(), bank.world.clock.now())
            bank.world.clock.advance(timedelta(hours=7))

            assert read(bank, settings, only).gaps == left
