"""Who may read what is made: its owner, and nobody else but of the ledger. And what a dead run leaves goes."""

import errno
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents import database
from pipelines.consents.kontist_login import one_renewal
from pipelines.errors import WrongUsage
from pipelines.notify.outbox import Outbox
from pipelines.questions.doctor import examine
from pipelines.read.command_slots import slot
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from pipelines.store import ledger, leftovers, private
from pipelines.store.ledger_reader import ledger_of, unreadable
from pipelines.store.lock import NoLocks, held, prepare
from pipelines.store.raw_copy import opened
from pipelines.store.read_only import read_only
from pipelines.store.unfinished import UnfinishedRead
from tests.histories import kontist, raw_history
from tests.plain_loads import by_dlt
from tests.questions.asked import ask

HOSTILE = ("bank=kontist, all* of [1] people's data", 'Bücher (alt); #1 100% & say "when" {a,b}')


@pytest.fixture
def careless() -> Iterator[None]:
    """A person whose umask closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _open(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file() and _mode(one) & 0o077)


def test_every_file_is_private_while_raw_history_is_worked_on(fresh: Path, careless: None) -> None:
    (fresh / "raw.duckdb").chmod(0o644)  # of a version that left it so
    with held(fresh, "run"), opened(fresh) as (history, publishing):
        connection = history.connection
        connection.execute("create table kontist.more as select range as one from range(100)")
        connection.execute("copy kontist.more to '" + str(history.work / "spool.parquet") + "'")
        made = {path.name for path in fresh.iterdir()}
        assert {"raw.new.duckdb", "raw.new.duckdb.wal", "run.holder.json", "run.lock"} <= made
        assert _open(fresh) == []
        publishing()
        assert _open(fresh) == []
    assert {"raw.duckdb", "raw.previous.duckdb"} <= {path.name for path in fresh.iterdir()}
    assert os.umask(0) == 0


def test_both_programs_close_themselves_before_they_make_a_file(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    code = (
        "import os, runpy, sys, pathlib; os.umask(0); os._exit = sys.exit; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module({!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "pathlib.Path({!r}).touch()"
    )
    for module in ("pipelines", "flows"):
        made = tmp_path / module
        subprocess.run([sys.executable, "-c", code.format(module, str(made))], env=environ, check=True, capture_output=True)
        assert _mode(made) == 0o600


@pytest.mark.parametrize(
    ("umask", "folder", "first"), [(0o000, 0o755, 0o644), (0o022, 0o755, 0o644), (0o027, 0o750, 0o640), (0o077, 0o700, 0o600)]
)
def test_a_first_ledger_and_a_new_data_directory_are_as_the_persons_umask_has_them_but_for_writing(
    tmp_path: Path, umask: int, folder: int, first: int
) -> None:
    before = os.umask(umask)
    try:
        data_dir = tmp_path / "of" / "mine"
        with held(data_dir, "run"):
            new = data_dir / "ledger.new.duckdb"
            new.touch()
            assert _mode(new) == 0o600
            private.share_as_before(new, data_dir / "ledger.duckdb")
    finally:
        os.umask(before)
    assert (_mode(data_dir), _mode(data_dir.parent), _mode(new)) == (folder, folder, first)


def test_what_serve_starts_knows_the_umask_that_serve_was_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private.GIVEN, "027")
    before = os.umask(0o077)
    try:
        with held(tmp_path / "data", "run"):
            new = tmp_path / "data" / "new"
            new.touch()
            private.share_as_before(new, tmp_path / "data" / "ledger.duckdb")
    finally:
        os.umask(before)
    assert (_mode(tmp_path / "data"), _mode(new)) == (0o750, 0o640)


@pytest.mark.parametrize(("given", "kept"), [(0o644, 0o644), (0o640, 0o640), (0o600, 0o600), (0o666, 0o644), (0o400, 0o600)])
def test_a_ledger_keeps_the_readers_that_its_owner_gave_it(tmp_path: Path, given: int, kept: int) -> None:
    new, published = tmp_path / "ledger.new.duckdb", tmp_path / "ledger.duckdb"
    for path in (new, published):
        path.touch(0o600)
    published.chmod(given)
    private.share_as_before(new, published)
    assert _mode(new) == kept


def test_exports_are_private_from_the_start(fresh: Path, careless: None) -> None:
    with held(fresh, "run"):
        ledger.build_and_publish(fresh)
        (fresh / "ledger.duckdb").chmod(0o640)
        ledger.build_and_publish(fresh)
    assert _mode(fresh / "ledger.duckdb") == 0o640
    chosen = fresh / "for the accountant"
    for more in ((), ("--out", str(chosen))):
        assert ask(fresh, "export", "--format", "csv", *more) == 0
    assert _mode(fresh / "export") == _mode(chosen) == 0o700
    assert _open(fresh) == ["ledger.duckdb"]

    for folder in (fresh / "export", chosen):
        (folder / "accounts.csv").chmod(0o666)
    for more in ((), ("--out", str(chosen))):
        assert ask(fresh, "export", "--format", "csv", *more) == 0
    assert _open(fresh) == ["for the accountant/accounts.csv", "ledger.duckdb"]
    assert _mode(chosen / "accounts.csv") == 0o644
    assert not list(fresh.rglob("*.whole"))


def test_what_an_earlier_version_left_open_is_named_by_doctor_and_closed_by_the_next_run(tmp_path: Path) -> None:
    names = ("raw.previous.duckdb", "outbox.sqlite", "run.last.json", "export/accounts.csv", "receipts/erased-1.txt")
    names += ("runs.jsonl", "unfinished/0123456789abcdef/part-000001.arrow")
    shared = ("ledger.duckdb", "seeds/rules.csv", "notes.txt")
    for name in names + shared:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    result = {one.about: one for one in examine(Settings(data_dir=tmp_path), utc_now)}["files"]
    assert result.level == "wrong"
    assert all(str(tmp_path / name) in result.remedy for name in names)

    with held(tmp_path, "run"):
        pass
    assert _open(tmp_path) == sorted(shared)
    assert "files" not in {one.about for one in examine(Settings(data_dir=tmp_path), utc_now)}


@pytest.mark.parametrize(
    ("mode", "level", "says"), [(0o777, "wrong", "go-w"), (0o775, "wrong", "go-w"), (0o755, "note", "700"), (0o700, None, "")]
)
def test_doctor_names_a_data_directory_that_is_open_to_others(tmp_path: Path, mode: int, level: str | None, says: str) -> None:
    tmp_path.chmod(mode)
    found = {one.about: one for one in examine(Settings(data_dir=tmp_path), utc_now)}.get("data directory access")
    assert (found.level if found else None) == level
    assert found is None or f"chmod {says}" in found.remedy


def test_doctor_names_secrets_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = tmp_path / ".dlt" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.touch()
    for mode, level in ((0o644, "wrong"), (0o640, "wrong"), (0o600, None)):
        secrets.chmod(mode)
        found = {one.about: one for one in examine(Settings(data_dir=tmp_path / "data"), utc_now)}.get("secrets")
        assert (found.level if found else None) == level
        assert found is None or found.remedy == f"chmod 600 {secrets}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_data_directory_of_any_name_works_and_what_a_killed_run_read_goes_from_it(
    empty_raw: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, data_dir = tmp_path / "temporary", tmp_path / name
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    data_dir.mkdir()
    (data_dir / "raw.duckdb").write_bytes(empty_raw.read_bytes())
    with by_dlt(), raw_history(data_dir, "kontist") as raw:
        raw.read({"A": [kontist(1, "2026-03-01", 100)]})
        assert raw.current("amount_cents") == [(100,)]
    assert list(temporary.iterdir()) == []

    (leftovers.fresh_work(data_dir) / "kontist-1.parquet").write_text("of a run that is killed now")
    assert list(data_dir.rglob("*.parquet")) + list(temporary.rglob("*.parquet")) != []
    with held(data_dir, "catalog"):
        assert sorted(path.name for path in data_dir.iterdir()) == ["raw.duckdb", "run.holder.json", "run.lock"]
        assert list(temporary.iterdir()) == []
        ledger.build_and_publish(data_dir)
    assert ask(data_dir, "export", "--format", "parquet") == 0


@pytest.mark.parametrize("name", ["what?", "back\\slash"])
@pytest.mark.parametrize("asked", [("run",), ("status",), ("check",), ("backup", "elsewhere")])
def test_a_path_that_duckdb_reads_as_another_is_refused(fresh: Path, name: str, asked: tuple[str, ...]) -> None:
    """It takes a backslash for a slash: the files of another folder would be opened."""
    odd = fresh / name
    odd.mkdir()
    with pytest.raises(WrongUsage, match=r"has a .* in its path, which DuckDB cannot open"):
        ask(odd, *asked)
    with pytest.raises(WrongUsage, match=r"folder .* has a .* in its path"):
        ask(fresh, "backup", str(odd / "backup"))
    assert list(odd.iterdir()) == []


def test_whatever_a_killed_run_left_goes_when_the_data_directory_is_held_next(tmp_path: Path) -> None:
    kept = ("raw.duckdb", "raw.previous.duckdb", "ledger.duckdb", "vault.sqlite", "receipts/erased-1.json", "seeds/rules.new")
    left = ("raw.new.duckdb", "raw.new.duckdb.wal", "raw.erased.duckdb", "ledger.new.duckdb", "raw.previous.duckdb.new")
    UnfinishedRead(tmp_path, "kontist:1", {}, utc_now()).keep(b"of a read that can be taken up")
    kept += tuple(str(one.relative_to(tmp_path)) for one in (tmp_path / "unfinished").rglob("*.*"))
    left += ("runs.jsonl.new", "unfinished/0123456789abcdef/part-000001.arrow")
    left += (f"{Path(kept[-1]).parent}/part-000002.arrow.new",)
    left += ("run.last.json.new", "receipts/erased-2.json.new", ".work/kontist-1.parquet", ".spill/duckdb_temp_storage.tmp")
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.utime(tmp_path / "unfinished/0123456789abcdef/part-000001.arrow", (0, 0))
    with held(tmp_path, "serve", name="serve"):  # beside a run that may be at work
        assert (tmp_path / ".work").exists()
    with held(tmp_path, "erase"):
        pass
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()) == sorted(
        [*kept, "run.lock", "serve.lock"]
    )
    assert not (tmp_path / ".work").exists()


def test_a_forged_link_does_not_have_another_folder_removed(tmp_path: Path) -> None:
    mine = tmp_path / "home"
    mine.mkdir()
    (mine / "letters").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".work").symlink_to(mine)
    leftovers.remove_work(tmp_path / "data")
    assert (mine / "letters").exists()
    assert not (tmp_path / "data" / ".work").is_symlink()


def _runs(data_dir: Path) -> None:
    with held(data_dir, "run"):
        pass


def _commands(data_dir: Path) -> None:
    with slot(data_dir, 8, sleep=_never):
        pass


def _renews(data_dir: Path) -> None:
    with one_renewal(data_dir):
        pass


def _tells(data_dir: Path) -> None:
    Outbox(data_dir).deliver({}, utc_now())


def _never(_: float) -> None:
    raise AssertionError("it waits for a lock that nobody has")


@pytest.mark.parametrize("lock", [_runs, _commands, _renews, _tells, prepare])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_wherever_a_lock_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, lock: Callable[[Path], None]
) -> None:
    def refuses(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(NoLocks, match=r"cannot lock files \(.+\)\. Keep the data directory on a local disk") as caught:
        lock(tmp_path)
    assert caught.value.exit_status == 2
    found = {one.about: one for one in examine(Settings(data_dir=tmp_path), utc_now)}["data directory"]
    assert (found.level, "cannot lock files" in found.found) == ("wrong", True)


def test_a_vault_that_cannot_be_locked_names_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes `ENOLCK` for a file that somebody holds."""

    def refuses(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "")

    monkeypatch.setattr(database, "PATIENCE", 0)
    database.Database(tmp_path / "vault.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "vault.sqlite", isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(database.VaultBroken, match="cannot be used"):
            database.Database(tmp_path / "vault.sqlite")
        monkeypatch.setattr(fcntl, "lockf", refuses)
        with pytest.raises(NoLocks):
            database.Database(tmp_path / "vault.sqlite")


def test_a_ledger_that_cannot_be_locked_is_not_said_to_be_open_elsewhere(tmp_path: Path) -> None:
    text = 'IO Error: Could not set lock on file "x": '
    assert "cannot lock files" in str(unreadable(tmp_path, duckdb.IOException(text + "No locks available")))
    assert "(PID 7) has it open" in str(unreadable(tmp_path, duckdb.IOException(text + "Conflicting lock is held in x (PID 7)")))


def test_what_does_not_fit_into_memory_goes_where_the_next_run_finds_it(fresh: Path) -> None:
    with held(fresh, "run"):
        ledger.build_and_publish(fresh)
    asked = "select current_setting('temp_directory')"
    with ledger_of(fresh) as connection, read_only(fresh / "raw.duckdb") as raw:
        assert connection.execute(asked).fetchall() == [(str(leftovers.own_spill(fresh)),)]
        assert raw.execute(asked).fetchall() == [("",)]
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    for pid in (os.getpid(), int(ended.stdout)):
        (fresh / f".spill-{pid}").mkdir()
    with held(fresh, "run"):
        assert [path.name for path in fresh.glob(".spill*")] == [f".spill-{os.getpid()}"]
