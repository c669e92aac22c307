"""A data directory that has lost a file, or holds one of another history, is not taken for a first run."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.consents.clients import vault_of
from pipelines.errors import FAILED, WrongUsage
from pipelines.questions.found_losses import found
from pipelines.read.options import Options
from pipelines.run.raw_load import consent_rows
from pipelines.run.steps import Run
from pipelines.settings import KontistSettings, KontomatikSettings, Settings
from pipelines.store.banks import KONTOMATIK
from pipelines.store.losses import HistoryLost
from pipelines.store.raw_copy import opened
from tests.questions.asked import ask, printed_json
from tests.support import VAULT_KEY

NOW = datetime(2026, 11, 29, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"
"""No bank: whoever asks it fails otherwise than these tests expect."""


@pytest.fixture
def settings(fresh: Path) -> Settings:
    """A data directory that a run has left behind: raw history, the file before, vault, ledger."""
    return left_behind(fresh)


def left_behind(folder: Path, account: str | None = "de-1") -> Settings:
    """Makes `folder`, with an empty raw history in it, what a run leaves behind."""
    settings = Settings(
        data_dir=folder,
        vault_key=VAULT_KEY,
        kontist=KontistSettings(base_url=NOBODY, email="a@example.com", password="p"),
        kontomatik=KontomatikSettings(base_url=NOBODY, api_key="k"),
    )
    with vault_of(settings) as vault:
        consent = vault.add(source="kontomatik", institution="A", access_mode="MULTIPLE", now=NOW, token="t")
        vault.imported(consent.consent_id, NOW)
        with opened(folder) as (history, publish):
            needed = "account_id, source_account_id, consent_id, institution, account_type, import_id, row_version"
            values = [account, "4711", consent.consent_id, "A", "current", "i-1", "v"]
            if account is not None:
                history.connection.execute(f"insert into kontomatik.accounts ({needed}) values (?, ?, ?, ?, ?, ?, ?)", values)
            (row,) = consent_rows(vault, KONTOMATIK, NOW)
            places = ", ".join(f"${name}" for name in row)
            history.connection.execute(f"insert into kontomatik.consents ({', '.join(row)}) values ({places})", row)
            vault.belongs_to(history.identity.history_id, NOW)
            publish()
    with duckdb.connect(folder / "ledger.duckdb") as connection:
        connection.execute(f"create table accounts as select '{account}' as account_id")
        connection.execute("create table consents as select 'c-1' as consent_id")
    (folder / "run.last.json").write_text(json.dumps({"published": str(folder / "ledger.duckdb")}))
    return settings


def begin(settings: Settings, *, start_new: bool = False) -> None:
    """A run as far as it has found what is to be read."""
    with Run(settings, Options(("kontist",), start_new=start_new), now=lambda: NOW):
        pass


def lose(settings: Settings, *names: str) -> dict[str, bytes]:
    """Removes these files; returns what is left."""
    for name in names:
        (settings.data_dir / name).unlink()
    return content(settings)


def content(settings: Settings) -> dict[str, bytes]:
    """What is in the data directory, but for the note that the clock is right."""
    files = (path for path in settings.data_dir.iterdir() if path.is_file() and path.name != "clock.json")
    return {path.name: path.read_bytes() for path in files}


def test_what_a_run_left_behind_has_lost_nothing(settings: Settings) -> None:
    assert found(settings) == []
    begin(settings)


def test_an_empty_data_directory_is_a_first_run(tmp_path: Path) -> None:
    assert found(Settings(data_dir=tmp_path)) == []
    with opened(tmp_path) as (history, _):
        assert history.identity.new


@pytest.mark.parametrize(
    ("lost", "ways"),
    [
        (("raw.duckdb",), ("raw.previous.duckdb is there", "restore --previous", "restore DIR", "--start-new")),
        (("raw.duckdb", "raw.previous.duckdb"), ("ledger.duckdb is there", "restore DIR", "--start-new")),
        (("raw.duckdb", "raw.previous.duckdb", "ledger.duckdb"), ("its vault knows of imports", "restore DIR", "--start-new")),
        (("vault.sqlite",), ("vault.sqlite is missing", "restore DIR", "--start-new")),
        (("raw.duckdb", "raw.previous.duckdb", "vault.sqlite"), ("is missing", "restore DIR", "--start-new")),
        (("ledger.duckdb",), ("ledger.duckdb is missing", "transform", "--start-new")),
    ],
)
def test_a_run_that_has_lost_a_file_stops_names_the_recovery_and_changes_nothing(
    settings: Settings, lost: tuple[str, ...], ways: tuple[str, ...]
) -> None:
    left = lose(settings, *lost)

    with pytest.raises(HistoryLost) as stopped:
        begin(settings)

    assert stopped.value.exit_status == FAILED
    assert [way for way in ways if way not in str(stopped.value)] == []
    assert content(settings) == left
    assert [str(loss) for loss in found(settings)][:1] == [str(stopped.value)]


@pytest.mark.parametrize("lost", ["vault.sqlite", "ledger.duckdb"])
def test_who_says_so_starts_anew(settings: Settings, lost: str) -> None:
    lose(settings, lost)
    begin(settings, start_new=True)
    assert (settings.data_dir / "vault.sqlite").exists()


def test_who_says_so_begins_a_history_that_the_vault_knows_from_then_on(settings: Settings) -> None:
    lose(settings, "raw.duckdb")
    with opened(settings.data_dir, start_new=True) as (history, publish), vault_of(settings) as vault:
        vault.belongs_to(history.identity.history_id, NOW)
        publish()
        assert len(vault.histories()) == 2
    assert [str(loss) for loss in found(settings) if "share no account" not in str(loss)] == []


@pytest.mark.parametrize(
    ("lost", "asked"),
    [
        ("vault.sqlite", ("connect", "kontist")),
        ("vault.sqlite", ("connect", "kontomatik", "--target", "T")),
        ("vault.sqlite", ("consents",)),
        ("vault.sqlite", ("consents", "revoke", "c-1")),
        ("vault.sqlite", ("consents", "tend")),
        ("vault.sqlite", ("consents", "trail")),
        ("vault.sqlite", ("pay", "trail")),
        ("raw.duckdb", ("connect", "kontomatik", "--target", "T")),
        ("raw.duckdb", ("prove", "de-1", "--from", "2026-03-01", "--to", "2026-03-01")),
        ("raw.duckdb", ("explain", "t-1")),
        ("raw.duckdb", ("run",)),
        ("ledger.duckdb", ("prove", "de-1", "--from", "2026-03-01", "--to", "2026-03-01")),
        ("ledger.duckdb", ("run",)),
    ],
)
def test_every_command_that_needs_the_lost_file_stops(
    settings: Settings, lost: str, asked: tuple[str, ...], configured: None
) -> None:
    lose(settings, lost)
    with pytest.raises(HistoryLost, match=f"{lost} is missing"):
        ask(settings.data_dir, *asked)
    assert not (settings.data_dir / lost).exists()


def empty_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table another (program integer)")


def empty_duckdb(path: Path) -> None:
    """What is there after somebody looked for the file with DuckDB."""
    duckdb.connect(path).close()


def another_duckdb(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("create table another (program integer)")


@pytest.mark.parametrize(
    ("name", "put", "sentence"),
    [
        ("raw.duckdb", empty_duckdb, "holds no table of a raw history, and raw.previous.duckdb is there"),
        ("raw.duckdb", another_duckdb, "holds no table of a raw history"),
        ("vault.sqlite", Path.touch, "vault.sqlite is empty"),
        ("vault.sqlite", empty_sqlite, "vault.sqlite is empty"),
    ],
)
def test_an_empty_database_in_the_place_of_a_file_is_no_first_run_either(
    settings: Settings, configured: None, name: str, put: Callable[[Path], None], sentence: str
) -> None:
    lost = settings.data_dir / name
    lost.unlink()
    put(lost)
    known = content(settings)
    known.pop(name)

    with pytest.raises(HistoryLost, match=f"{sentence}.*--start-new"):
        begin(settings)
    with pytest.raises(HistoryLost, match=sentence):
        ask(settings.data_dir, "connect", "kontomatik", "--target", "T")
    assert [loss for loss in found(settings) if sentence in str(loss)]
    assert {path: data for path, data in content(settings).items() if path in known} == known


@pytest.mark.parametrize("form", ["--json", "--openmetrics"])
def test_status_shows_the_rest_beside_an_empty_vault(settings: Settings, capsys: pytest.CaptureFixture[str], form: str) -> None:
    lose(settings, "ledger.duckdb", "vault.sqlite")
    (settings.data_dir / "vault.sqlite").touch()
    assert ask(settings.data_dir, "status", "--max-age", "13", form) == FAILED
    shown = capsys.readouterr().out
    assert ("vault.sqlite is empty" in shown) == (form == "--json")
    assert ("# EOF" in shown) == (form == "--openmetrics")


def test_an_empty_vault_in_a_database_of_its_own_is_named_too(settings: Settings, tmp_path: Path) -> None:
    elsewhere = replace(settings, vault_url=f"sqlite:///{tmp_path}/of-nobody.sqlite")
    with pytest.raises(HistoryLost, match=r"database of pipelines.vault_url is empty"):
        begin(elsewhere)
    begin(elsewhere, start_new=True)
    with vault_of(elsewhere) as vault:  # a vault like any other from then on
        assert [entry.outcome for entry in vault.trail()] == ["a person gave --start-new"]


def test_transform_and_check_name_the_way_back_to_a_lost_history(settings: Settings) -> None:
    lose(settings, "raw.duckdb")
    for command in ("transform", "check"):
        with pytest.raises(HistoryLost, match="restore --previous"):
            ask(settings.data_dir, command)
    empty_duckdb(settings.data_dir / "raw.duckdb")
    for command in ("transform", "check"):
        with pytest.raises(HistoryLost, match="restore --previous"):
            ask(settings.data_dir, command)


def test_an_erasure_without_raw_history_is_neither_recorded_nor_said_to_be_done(settings: Settings, configured: None) -> None:
    lose(settings, "raw.duckdb")
    with vault_of(settings) as vault:
        (consent,) = vault.consents()
        with pytest.raises(HistoryLost, match="restore --previous"):
            ask(settings.data_dir, "consents", "erase", consent.consent_id, "--yes")
        assert vault.consent(consent.consent_id).erase_asked_at is None
    assert not (settings.data_dir / "receipts").exists()


def test_status_names_every_loss_and_ends_with_1(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    lose(settings, "ledger.duckdb", "vault.sqlite")
    assert ask(settings.data_dir, "status", "--json") == FAILED
    assert [one.partition(" is missing")[0].rpartition("/")[2] for one in printed_json(capsys)["lost"]] == [
        "vault.sqlite",
        "ledger.duckdb",
    ]


def test_files_of_two_data_directories_are_not_mixed(settings: Settings, tmp_path: Path, two: Callable[[], Settings]) -> None:
    other = two()
    for name, sentence in (
        ("vault.sqlite", r"belongs to the history h-\w+, and its raw.duckdb is the history h-"),
        ("ledger.duckdb", "ledger.duckdb is not of the raw history"),
        ("raw.duckdb", "swapped|belongs to the history|is not of the raw history"),
    ):
        swap(settings.data_dir / name, other.data_dir / name, tmp_path)
        for one in (settings, other):
            left = content(one)
            with pytest.raises(HistoryLost, match=sentence):
                begin(one)
            assert content(one) == left
        swap(settings.data_dir / name, other.data_dir / name, tmp_path)
    begin(settings)
    begin(other)


def test_two_swapped_data_directories_are_both_named(settings: Settings, tmp_path: Path, two: Callable[[], Settings]) -> None:
    other = two()
    swap(settings.data_dir, other.data_dir, tmp_path)
    for one in (settings, other):
        with pytest.raises(HistoryLost, match="are swapped") as stopped:
            begin(one)
        assert str(settings.data_dir) in str(stopped.value)
        assert str(other.data_dir) in str(stopped.value)


def test_a_data_directory_that_moved_and_a_copy_of_one_go_on(settings: Settings, tmp_path: Path) -> None:
    copied = replace(settings, data_dir=tmp_path.with_name(f"{tmp_path.name}-copied"))
    shutil.copytree(settings.data_dir, copied.data_dir)
    begin(copied)
    moved = replace(settings, data_dir=tmp_path.with_name(f"{tmp_path.name}-moved"))
    settings.data_dir.rename(moved.data_dir)
    begin(moved)


def swap(one: Path, other: Path, beside: Path) -> None:
    spare = beside.with_name(f"{beside.name}-spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


@pytest.fixture
def two(empty_raw: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Makes a second data directory, of another customer."""

    def make() -> Settings:
        folder = tmp_path.with_name(f"{tmp_path.name}-other")
        folder.mkdir()
        with duckdb.connect(shutil.copy(empty_raw, folder / "raw.duckdb")) as connection:
            connection.execute("drop schema kontoledger cascade")
        return left_behind(folder, "pl-2")

    return make


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same settings for commands."""
    for name, value in (
        ("PIPELINES__VAULT_KEY", VAULT_KEY),
        ("SOURCES__KONTIST__BASE_URL", NOBODY),
        ("SOURCES__KONTIST__EMAIL", "a@example.com"),
        ("SOURCES__KONTIST__PASSWORD", "p"),
        ("SOURCES__KONTOMATIK__BASE_URL", NOBODY),
        ("SOURCES__KONTOMATIK__API_KEY", "k"),
    ):
        monkeypatch.setenv(name, value)


def test_wrong_usage_stays_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="There is no ledger"):
        ask(tmp_path, "prove", "de-1", "--from", "2026-03-01", "--to", "2026-03-01")
