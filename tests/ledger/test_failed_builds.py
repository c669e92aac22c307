"""Builds that cannot be made: each is a sentence with a cause and a next step, and leaves nothing behind."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.ledger.worlds import TABLES, empty, raw_file
from transforms.build import build
from transforms.engine import translated
from transforms.errors import (
    CannotWrite,
    LedgerUnreadable,
    ModelError,
    OutOfMemory,
    OutOfSpace,
    RawUnreadable,
    TransformError,
)
from transforms.raw import later


def test_too_little_memory_is_said_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="raise the memory limit"):
        build(folder / "raw.duckdb", tmp_path / "ledger.duckdb", memory_limit="1MB")

    assert list(tmp_path.iterdir()) == []


def test_a_ledger_is_never_built_over_another_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.duckdb").write_bytes(b"yesterday's")

    with pytest.raises(CannotWrite, match="exists already"):
        build(folder / "raw.duckdb", tmp_path / "ledger.duckdb")
    assert (tmp_path / "ledger.duckdb").read_bytes() == b"yesterday's"


def test_a_folder_that_is_not_there_is_said_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="cannot be written"):
        build(folder / "raw.duckdb", tmp_path / "nowhere" / "ledger.duckdb")


def test_a_file_that_may_not_grow_is_said_so(folder: Path, tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from transforms.build import build; from transforms.errors import CannotWrite\n"
        "try: build(*map(pathlib.Path, sys.argv[1:]))\n"
        "except CannotWrite as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder / "raw.duckdb", tmp_path / "ledger.duckdb"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "File too large. The ledger published before is as it was." in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_raw_history_that_is_missing_or_broken_is_said_so_with_the_way_back(tmp_path: Path) -> None:
    raw, target = tmp_path / "raw.duckdb", tmp_path / "ledger.duckdb"
    with pytest.raises(RawUnreadable, match=r"there is no such file.*from a backup"):
        build(raw, target)

    raw.write_bytes(b"no database" * 1000)
    (tmp_path / "raw.previous.duckdb").write_bytes(b"")
    with pytest.raises(RawUnreadable, match=r"copy raw\.previous\.duckdb to raw\.duckdb"):
        build(raw, target)
    assert not target.exists()


def test_raw_history_damaged_inside_is_said_so(folder: Path, tmp_path: Path) -> None:
    whole = bytearray((folder / "raw.duckdb").read_bytes())
    for at in range(3 * 4096 + 8, len(whole), 262_144):
        whole[at + 5_000 : at + 5_100] = b"\xff" * len(whole[at + 5_000 : at + 5_100])
    (tmp_path / "raw.duckdb").write_bytes(whole)

    with pytest.raises(RawUnreadable):
        build(tmp_path / "raw.duckdb", tmp_path / "ledger.duckdb")
    assert not (tmp_path / "ledger.duckdb").exists()


def test_raw_history_of_another_version_is_said_so(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", {})
    with duckdb.connect(raw) as connection:
        connection.execute("alter table kontist.transactions drop column e2e_id")

    with pytest.raises(RawUnreadable, match=r"lacks a table or column that staging\.stg_kontist__transactions"):
        build(raw, tmp_path / "ledger.duckdb")


def test_raw_history_of_an_earlier_version_is_read_as_if_what_came_later_were_empty(folder: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.duckdb"
    raw.write_bytes((folder / "raw.duckdb").read_bytes())
    with duckdb.connect(raw) as connection:
        for table, columns in later().items():
            if set(columns) >= set(TABLES[table].names):
                connection.execute(f"drop table {table}")
                continue
            for column in columns:
                connection.execute(f"alter table {table} drop column {column}")
    built = build(raw, tmp_path / "ledger.duckdb")

    assert built.failed == []
    assert built.rows["holes"] == built.rows["institutions"] == 0
    assert built.rows["transactions"] == 12  # the row of a file is in a table that came later


def test_what_came_later_is_declared_as_the_readers_declare_it() -> None:
    with empty() as connection:
        for table, columns in later().items():
            declared = dict(connection.execute(f"select column_name, column_type from (describe raw.{table})").fetchall())
            for column, kind in columns.items():
                assert connection.execute(f"select typeof(cast(null as {kind}))").fetchone() == (declared[column],)


def test_an_amount_that_does_not_fit_stops_the_build_and_is_not_repeated(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "raw.duckdb", {"kontist.transactions": [{"amount_cents": 4_711_000_000_000_000_815}]})

    with pytest.raises(ModelError, match="does not fit") as caught:
        build(raw, tmp_path / "ledger.duckdb")
    assert "4711" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert not (tmp_path / "ledger.duckdb").exists()


@pytest.mark.parametrize(
    ("error", "ours", "result"),
    [
        (duckdb.IOException("IO Error: Could not write file: No space left on device"), OutOfSpace, "disk of /d is full"),
        (duckdb.TransactionException("Failed to commit: No space left on device"), OutOfSpace, "free some space"),
        (duckdb.FatalException("Original error: No space left on device"), OutOfSpace, "free some space"),
        (duckdb.IOException("Failed to create directory"), CannotWrite, "what did not fit into memory"),
        (duckdb.TransactionException("Failed to commit: /d/ledger.new: denied"), CannotWrite, "/d/ledger.new, or"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"), OutOfMemory, "ledger.accounts needs more"),
        (duckdb.TransactionException("Failed to commit: failed to pin block"), OutOfMemory, "raise the memory limit"),
        (duckdb.IOException("Could not read from file /d/raw.duckdb"), RawUnreadable, "to raw.duckdb|from a backup"),
        (duckdb.IOException("computed checksum 1 does not match stored checksum 2"), RawUnreadable, "checksum"),
        (duckdb.SerializationException("4711"), RawUnreadable, "SerializationException at ledger.accounts"),
        (duckdb.InternalException("4711"), RawUnreadable, "InternalException at ledger.accounts"),
        (duckdb.BinderException('column "x" not found'), ModelError, 'column "x" not found'),
        (duckdb.ConversionException("Could not cast value 4711"), ModelError, "does not fit"),
        (duckdb.OutOfRangeException("4711 is too much"), ModelError, "OutOfRangeException"),
    ],
)
def test_what_duckdb_says_becomes_a_cause_and_a_next_step(error: duckdb.Error, ours: type[Exception], result: str) -> None:
    with pytest.raises(ours, match=result) as caught, translated(Path("/d/raw.duckdb"), Path("/d/ledger.new"), "ledger.accounts"):
        raise error

    assert type(caught.value) is ours
    assert "4711" not in str(caught.value)


def test_an_interrupt_is_not_an_error_of_ours() -> None:
    with pytest.raises(duckdb.InterruptException), translated(Path("raw"), Path("ledger"), "ledger.accounts"):
        raise duckdb.InterruptException


def test_every_error_is_a_transform_error() -> None:
    assert {RawUnreadable, LedgerUnreadable, ModelError, OutOfMemory, CannotWrite} <= set(TransformError.__subclasses__())
