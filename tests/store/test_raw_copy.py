"""Raw history cannot be fetched again: it is never written in place, and what is damaged never replaces what is whole."""

import os
import stat
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from pipelines.errors import RawBroken
from pipelines.store.atomic_files import publish
from pipelines.store.raw_copy import opened
from tests.histories import Raw, kontist, kontomatik, raw_history

pytestmark = pytest.mark.usefixtures("by_dlt")

BLOCK = 262_144


def test_until_it_is_published_nothing_has_happened(fresh: Path) -> None:
    before = (fresh / "raw.duckdb").read_bytes()
    with opened(fresh) as (history, _):
        history.connection.execute("create table kontist.more as select 1")

    assert (fresh / "raw.duckdb").read_bytes() == before
    assert sorted(path.name for path in fresh.iterdir()) == ["raw.duckdb"]


def test_a_failure_on_the_way_leaves_the_file_and_no_litter(fresh: Path) -> None:
    before = (fresh / "raw.duckdb").read_bytes()
    with pytest.raises(ZeroDivisionError), opened(fresh) as (history, _):
        history.connection.execute("drop schema kontist cascade")
        raise ZeroDivisionError

    assert (fresh / "raw.duckdb").read_bytes() == before
    assert sorted(path.name for path in fresh.iterdir()) == ["raw.duckdb"]


def test_the_file_before_stays_as_it_was(fresh: Path) -> None:
    before = (fresh / "raw.duckdb").read_bytes()
    with opened(fresh) as (history, publishing):
        history.connection.execute("create table kontist.more as select 1 as one")
        publishing()

    assert (fresh / "raw.previous.duckdb").read_bytes() == before
    with duckdb.connect(fresh / "raw.duckdb", read_only=True) as connection:
        assert connection.execute("from kontist.more").fetchall() == [(1,)]


def test_leftovers_of_a_run_that_died_are_not_used(fresh: Path) -> None:
    for name in ("raw.new.duckdb", "raw.new.duckdb.wal"):
        (fresh / name).write_bytes(b"half a copy")
    (fresh / ".work" / "dlt" / "kontist").mkdir(parents=True)
    (fresh / ".work" / "dlt" / "kontist" / "package").write_text("of yesterday")
    with opened(fresh) as (history, publishing):
        assert list(history.work.iterdir()) == []
        publishing()

    assert sorted(path.name for path in fresh.iterdir()) == ["raw.duckdb", "raw.previous.duckdb"]


def test_no_damaged_block_gets_past_publishing(fresh: Path) -> None:
    """Whichever block is damaged: either the run stops and the file before stays, or what is published can be read whole."""
    with raw_history(fresh, "kontomatik") as raw:
        raw.read({"A": [kontomatik("2026-03-01", f"{n}.00", title=os.urandom(200).hex()) for n in range(3000)]})
        raw.history.connection.execute("checkpoint")
        whole = (fresh / "raw.new.duckdb").read_bytes()
    stopped = 0
    for at in range(3 * 4096 + 100, len(whole), BLOCK):
        spoilt = whole[:at] + b"\xff" * 16 + whole[at + 16 :]
        (fresh / "raw.duckdb").write_bytes(spoilt)
        (fresh / "raw.previous.duckdb").write_bytes(b"the file before")
        try:
            with opened(fresh) as (_, publishing):
                publishing()
        except RawBroken as error:
            stopped += 1
            assert f"mv {fresh / 'raw.previous.duckdb'}" in str(error)
            assert (fresh / "raw.previous.duckdb").read_bytes() == b"the file before"
            assert (fresh / "raw.duckdb").read_bytes() == spoilt
        else:
            with duckdb.connect(fresh / "raw.duckdb", read_only=True) as connection:
                assert connection.execute(
                    "select count(*), bit_xor(hash(t)) is not null from kontomatik.transactions t"
                ).fetchall() == [(3000, True)]
    assert stopped >= 2


def test_a_block_in_another_ones_place_and_a_file_cut_off_are_a_sentence_and_no_crash(fresh: Path) -> None:
    """What a disk wrote to the wrong place has a right checksum: DuckDB 1.5 died of it (SIGSEGV), and this test with it."""
    with raw_history(fresh, "kontomatik") as raw:
        raw.read({"A": [kontomatik("2026-03-01", f"{n}.00", title=os.urandom(200).hex()) for n in range(3000)]})
        raw.history.connection.execute("checkpoint")
        whole = (fresh / "raw.new.duckdb").read_bytes()
    starts = list(range(3 * 4096, len(whole) - BLOCK + 1, BLOCK))
    damaged = [whole[:to] + whole[of : of + BLOCK] + whole[to + BLOCK :] for of, to in pairwise([*starts[-4:], *starts[:2]])]
    middle = len(starts) // 2  # there are the rows; the last blocks may be free
    damaged += [whole[:to] + whole[of : of + BLOCK] + whole[to + BLOCK :] for of, to in pairwise(starts[middle : middle + 6])]
    damaged += [whole[: starts[1]], whole[: len(whole) - 1], whole[: starts[1]] + bytes(len(whole) - starts[1])]
    stopped = 0
    for spoilt in damaged:
        (fresh / "raw.duckdb").write_bytes(spoilt)
        try:
            with opened(fresh) as (_, publishing):
                publishing()
        except RawBroken as error:
            stopped += 1
            assert str(error).startswith(f"Raw history in {fresh / 'raw.duckdb'} cannot be read ("), repr(error.__context__)
            assert (fresh / "raw.duckdb").read_bytes() == spoilt
    assert stopped >= 6


def test_a_clock_that_went_back_is_refused_before_it_spoils_history(ids: Raw) -> None:
    ids.read({"A": [kontist(1, "2026-03-01", 100)]})
    ids.history.connection.execute("update kontist.transactions set _dlt_valid_from = _dlt_valid_from + interval 2 hour")
    with pytest.raises(RawBroken, match="clock is behind the last load"):
        ids.read({"A": [kontist(1, "2026-03-01", 200)]})

    assert ids.current("amount_cents") == [(100,)]


def test_a_published_file_is_one_or_the_other_at_every_moment(tmp_path: Path) -> None:
    new, old, previous = tmp_path / "new", tmp_path / "published", tmp_path / "previous"
    old.write_text("old")
    new.write_text("new")
    publish(new, old, previous)
    assert (old.read_text(), previous.read_text(), new.exists()) == ("new", "old", False)

    new.write_text("newer")
    publish(new, old, previous)
    assert (old.read_text(), previous.read_text()) == ("newer", "new")


def test_only_the_owner_can_look_into_the_work_in_progress(fresh: Path) -> None:
    with opened(fresh) as (history, _):
        assert stat.S_IMODE(history.work.stat().st_mode) == 0o700
