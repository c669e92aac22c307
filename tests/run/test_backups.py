"""A backup holds everything that cannot be fetched again, and a restore brings it back; an incomplete backup changes nothing."""

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from pipelines.consents.clients import vault_of
from pipelines.consents.vault import Vault
from pipelines.errors import GOOD, Failure, WrongUsage
from pipelines.questions.found_losses import found
from pipelines.settings import Settings
from pipelines.store.losses import HistoryLost
from pipelines.store.raw_copy import opened
from pipelines.store.run_history import keep, read
from tests.questions.asked import ask, printed_json
from tests.store.test_losses import NOW, VAULT_KEY, begin, content, left_behind
from tests.support import published
from transforms.run_record import RunRecord


@pytest.fixture(scope="module")
def original(empty_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data directory that a run has left behind, with a ledger that is built."""
    folder = tmp_path_factory.mktemp("original")
    shutil.copy(empty_raw, folder / "raw.duckdb")
    settings = left_behind(folder, None)
    (folder / "ledger.duckdb").unlink()
    assert ask(folder, "transform") == GOOD
    (folder / "receipts").mkdir()
    (folder / "receipts" / "erased-c-0.json").write_text("{}")
    (folder / "seeds").mkdir()
    keep(folder, RunRecord(run_id="r-1", started_at=NOW))
    return settings


@pytest.fixture
def settings(original: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(original.data_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "run.last.json").write_text(json.dumps({"published": str(tmp_path / "ledger.duckdb")}))
    return replace(original, data_dir=tmp_path)


@pytest.fixture
def no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring leaves the ledger as it is."""
    monkeypatch.setattr("pipelines.run.backups.build_and_publish", published)


@pytest.fixture
def backup(settings: Settings, key: None) -> Path:
    """Its backup."""
    folder = settings.data_dir.with_name(f"{settings.data_dir.name}-backup")
    assert ask(settings.data_dir, "backup", str(folder)) == GOOD
    return folder


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault key, for commands."""
    monkeypatch.setenv("PIPELINES__VAULT_KEY", VAULT_KEY)


def emptied(settings: Settings) -> None:
    shutil.rmtree(settings.data_dir)
    settings.data_dir.mkdir()


def test_a_backup_is_private_names_every_file_and_leaves_the_data_directory_as_it_was(settings: Settings, key: None) -> None:
    before = content(settings)
    folder = settings.data_dir.with_name(f"{settings.data_dir.name}-here")
    assert ask(settings.data_dir, "backup", str(folder)) == GOOD

    listed = json.loads((folder / "backup.json").read_text())["files"]
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert (
        written
        == {*listed, "backup.json"}
        == {*("raw.duckdb", "vault.sqlite", "receipts/erased-c-0.json", "runs.jsonl", "backup.json")}
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in listed} == {0o600}
    after = content(settings)
    assert {name: after[name] for name in before} == before


def test_an_emptied_data_directory_comes_back_from_its_backup(settings: Settings, backup: Path) -> None:
    emptied(settings)
    assert ask(settings.data_dir, "restore", str(backup), "--yes") == GOOD

    assert found(settings) == []
    assert [one.run_id for one in read(settings.data_dir).records] == ["r-1"]
    begin(settings)
    with vault_of(settings) as vault:
        (consent,) = vault.consents()
        assert vault.token(consent.consent_id) == "t"
    assert (settings.data_dir / "receipts" / "erased-c-0.json").exists()
    assert {stat.S_IMODE((settings.data_dir / name).stat().st_mode) for name in ("raw.duckdb", "vault.sqlite")} == {0o600}


@pytest.mark.usefixtures("no_ledger")
@pytest.mark.parametrize("lost", [("raw.duckdb", "raw.previous.duckdb"), ("vault.sqlite",), ("raw.duckdb", "vault.sqlite")])
def test_what_a_loss_names_as_the_way_back_is_one(settings: Settings, backup: Path, lost: tuple[str, ...]) -> None:
    for name in lost:
        (settings.data_dir / name).unlink()
    with pytest.raises(HistoryLost, match="restore DIR"):
        begin(settings)
    assert ask(settings.data_dir, "restore", str(backup), "--yes") == GOOD
    begin(settings)


@pytest.mark.usefixtures("no_ledger")
def test_a_newer_vault_of_this_history_stays_and_another_is_kept_beside(
    settings: Settings, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with vault_of(settings) as vault:
        vault.add(source="kontomatik", institution="B", access_mode="MULTIPLE", now=NOW, token="later")
    assert ask(settings.data_dir, "restore", str(backup), "--yes") == GOOD
    with vault_of(settings) as vault:
        assert sorted(one.institution for one in vault.consents()) == ["A", "B"]
    (settings.data_dir / "vault.sqlite").write_bytes(b"no database" * 1000)
    assert ask(settings.data_dir, "restore", str(backup), "--yes") == GOOD
    with vault_of(settings) as vault:
        assert [one.institution for one in vault.consents()] == ["A"]
    assert (settings.data_dir / "vault.previous.sqlite").read_bytes() == b"no database" * 1000
    assert "kept as vault.previous.sqlite" in capsys.readouterr().out


@pytest.mark.usefixtures("no_ledger")
def test_restore_previous_brings_back_the_run_before_and_a_second_time_undoes_it(settings: Settings) -> None:
    raw, previous = settings.data_dir / "raw.duckdb", settings.data_dir / "raw.previous.duckdb"
    new, old = raw.read_bytes(), previous.read_bytes()
    assert ask(settings.data_dir, "restore", "--previous", "--yes") == GOOD
    assert (raw.read_bytes(), previous.read_bytes()) == (old, new)
    assert ask(settings.data_dir, "restore", "--previous", "--yes") == GOOD
    assert (raw.read_bytes(), previous.read_bytes()) == (new, old)
    raw.unlink()
    assert ask(settings.data_dir, "restore", "--previous", "--yes") == GOOD
    assert (raw.read_bytes(), previous.read_bytes()) == (old, old)


def test_check_builds_the_ledger_and_changes_nothing(
    settings: Settings, backup: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    before = content(settings)
    assert ask(settings.data_dir, "restore", str(backup), "--check", "--json") == GOOD
    assert printed_json(capsys) | {"files": []} == {"restored": False, "files": [], "transactions": 0, "notes": []}
    assert content(settings) == before
    monkeypatch.setenv("PIPELINES__VAULT_KEY", "b3RoZXItdmF1bHQta2V5LTAwMDAwMDAwMDAwMDAwMDA=")
    assert ask(settings.data_dir, "restore", str(backup), "--check", "--json") == GOOD
    assert "cannot be opened with this vault key" in printed_json(capsys)["notes"][0]
    assert sorted(path.name for path in settings.data_dir.glob(".*")) == []


@pytest.mark.parametrize("damage", ["raw.duckdb", "vault.sqlite", "backup.json", "gone", "outside"])
def test_a_damaged_backup_is_refused_and_changes_nothing(settings: Settings, backup: Path, damage: str) -> None:
    listed = json.loads((backup / "backup.json").read_text())
    if damage == "gone":
        (backup / "raw.duckdb").unlink()
    elif damage == "outside":
        listed["files"]["../raw.duckdb"] = listed["files"]["raw.duckdb"]
        shutil.copy(backup / "raw.duckdb", backup.parent / "raw.duckdb")
        (backup / "backup.json").write_text(json.dumps(listed))
    else:
        (backup / damage).write_bytes((backup / damage).read_bytes()[:-20])
    before = content(settings)
    for how in ("--yes", "--check"):
        with pytest.raises(Failure, match=r"damaged|no finished backup"):
            ask(settings.data_dir, "restore", str(backup), how)
    assert content(settings) == before


def test_a_backup_of_another_history_is_not_restored_over_this_one(settings: Settings, backup: Path) -> None:
    with opened(settings.data_dir) as (history, publish):
        history.connection.execute("update kontoledger.history set history_id = 'h-other'")
        publish()
    before = content(settings)
    with pytest.raises(WrongUsage, match="holds h-other"):
        ask(settings.data_dir, "restore", str(backup), "--yes")
    assert content(settings) == before


@pytest.mark.usefixtures("no_ledger")
def test_what_was_erased_since_is_named_when_it_is_there_again(
    settings: Settings, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with vault_of(settings) as vault:
        (consent,) = vault.consents()
    (settings.data_dir / "vault.sqlite").unlink()
    (settings.data_dir / "receipts" / f"erased-{consent.consent_id}.json").write_text("{}")
    assert ask(settings.data_dir, "restore", str(backup), "--yes") == GOOD
    assert f"consents erase {consent.consent_id} --yes" in capsys.readouterr().out


def test_a_backup_never_replaces_another_lies_elsewhere_and_a_loss_is_not_backed_up(settings: Settings, backup: Path) -> None:
    with pytest.raises(WrongUsage, match="exists already"):
        ask(settings.data_dir, "backup", str(backup))
    with pytest.raises(WrongUsage, match="lies in the data directory"):
        ask(settings.data_dir, "backup", str(settings.data_dir / "backup"))
    (settings.data_dir / "raw.duckdb").unlink()
    with pytest.raises(HistoryLost):
        ask(settings.data_dir, "backup", str(backup.with_name("backup-of-a-loss")))
    assert not backup.with_name("backup-of-a-loss").exists()


def test_a_backup_that_cannot_be_written_leaves_none(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.run.backups._copy_database", full)
    folder = tmp_path.with_name(f"{tmp_path.name}-full")
    with pytest.raises(Failure, match=r"No space left on device\). Nothing was changed"):
        ask(settings.data_dir, "backup", str(folder))
    assert [path for path in folder.parent.iterdir() if folder.name in path.name] == []


def test_without_a_terminal_a_restore_needs_yes(settings: Settings, backup: Path) -> None:
    with pytest.raises(WrongUsage, match="--yes is not given"):
        ask(settings.data_dir, "restore", str(backup))
    for asked in ((), (str(backup), "--previous"), ("--previous", "--check")):
        with pytest.raises(WrongUsage, match="either a backup's folder or --previous"):
            ask(settings.data_dir, "restore", *asked)


def test_a_backup_of_a_vault_that_is_written_to_meanwhile_is_whole(settings: Settings, key: None) -> None:
    folder = settings.data_dir.with_name(f"{settings.data_dir.name}-busy")
    with vault_of(settings) as vault, vault.database.transaction() as connection:
        connection.exec_driver_sql("update consents set institution = 'half'")
        assert ask(settings.data_dir, "backup", str(folder)) == GOOD
    copied = Vault(folder / "vault.sqlite", VAULT_KEY)
    assert [one.institution for one in copied.consents()] == ["A"]
    copied.close()
    with duckdb.connect(folder / "raw.duckdb", read_only=True) as raw:
        assert raw.execute("select count(*) from kontoledger.history").fetchall() == [(1,)]
