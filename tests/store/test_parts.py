"""The small parts: who holds the data directory, what waits on disk, what settings mean, what a number of removals is."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import Busy, WrongUsage
from pipelines.settings import load_settings
from pipelines.store.lock import held, prepare
from sources._spool import SpoolFile, redacted
from tests.support import VAULT_KEY

SCHEMA = pa.schema([("text", pa.string())])


def test_only_one_holds_a_directory_and_the_other_names_its_holder(tmp_path: Path) -> None:
    with held(tmp_path, "transform"):
        result = rf"Process {os.getpid()} \(transform, since .*\. Wait until it has finished"
        with pytest.raises(Busy, match=result), held(tmp_path, "run"):
            raise AssertionError("two hold it")
        assert (tmp_path / "run.holder.json").exists()
    with held(tmp_path, "run"):
        pass


def test_what_a_dead_process_left_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    (tmp_path / "run.holder.json").write_text('{"pid": 999999}')

    with held(tmp_path, "run"):
        assert json.loads((tmp_path / "run.holder.json").read_text())["command"] == "run"
    assert not (tmp_path / "run.holder.json").exists()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(WrongUsage, match="cannot be written"):
        prepare(tmp_path / "file" / "data")


def test_a_spool_keeps_the_banks_order_and_numbers_it(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path / "s.parquet", SCHEMA)
    for texts in (["c", "b"], ["a"]):
        spool.add(pa.RecordBatch.from_pydict({"text": texts}, schema=SCHEMA))

    assert pq.read_table(spool.close()).to_pylist() == [
        {"text": "c", "position": 0},
        {"text": "b", "position": 1},
        {"text": "a", "position": 2},
    ]


def test_a_spool_that_starts_again_holds_nothing_of_before(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path / "s.parquet", SCHEMA)
    spool.add(pa.RecordBatch.from_pydict({"text": ["old"]}, schema=SCHEMA))
    spool.reject("odd", {"id": 1}, None)
    spool.clear()
    assert (spool.close(), spool.rows, spool.rejected) == (None, 0, [])

    spool.add(pa.RecordBatch.from_pydict({"text": ["new"]}, schema=SCHEMA))
    assert pq.read_table(spool.close()).to_pylist() == [{"text": "new", "position": 0}]


def test_quarantine_shows_what_is_wrong_and_nothing_of_people() -> None:
    row = {"id": 7, "amount": "12.345", "name": "Ada Example", "iban": "DE00", "purpose": "secret", "extra": [1], "date": None}

    assert redacted(row) == {
        "id": 7,
        "amount": "12.345",
        "name": "text of 11",
        "iban": "text of 4",
        "purpose": "text of 6",
        "extra": "list",
        "date": None,
    }


@pytest.mark.parametrize("field", ["id", "type", "status", "label", "kind"])
def test_a_name_in_the_wrong_place_is_not_shown_either(field: str) -> None:
    """A field that holds codes may come to hold a person, or an account number."""
    for text in ("DE89370400440532013000", "Ada Example", "61109010140000071219812874"):
        assert text not in json.dumps(redacted({field: text}))


@pytest.mark.parametrize("value", ["soon", "12.345", "-7", "2026-02-30", "2026-03-01T23:30:00.000+00:00", "CARD_TRANSACTION"])
def test_what_is_wrong_is_shown(value: str) -> None:
    assert redacted({"amount": value, "bookingDate": value}) == {"amount": value, "bookingDate": value}


def test_the_environment_wins_over_files_and_empty_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text('[pipelines]\ndata_dir = "one"\n[sources.kontist]\nlookback_days = 3')
    (tmp_path / ".dlt" / "secrets.toml").write_text('[sources.kontist]\nemail = ""\npassword = "x"')

    found = load_settings(environment={"SOURCES__KONTIST__LOOKBACK_DAYS": "4"}, folder=tmp_path)
    assert (found.data_dir, found.kontist.lookback_days, found.kontist.configured) == (Path.cwd() / "one", 4, False)
    assert load_settings(data_dir=Path("/two"), environment={}, folder=tmp_path).data_dir == Path("/two")


def test_settings_never_show_a_secret(tmp_path: Path) -> None:
    secrets = {
        "SOURCES__KONTIST__PASSWORD": "s3cr3t",
        "SOURCES__KONTOMATIK__API_KEY": "s3cr3t",
        "PIPELINES__VAULT_KEY": VAULT_KEY,
    }
    shown = repr(load_settings(environment=secrets, folder=tmp_path))

    assert "s3cr3t" not in shown
    assert VAULT_KEY not in shown
