"""Backups: what cannot be fetched or made again, copied while nobody writes, with checksums; and the restore.

A backup is a folder. Its `backup.json` is written last and names every file with its SHA-256: a folder without it is unfinished.
"""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pipelines.consents.clients import has_vault, vault_of
from pipelines.consents.consent_rows import remove_erased_again
from pipelines.consents.vault import Vault
from pipelines.errors import Failure, WrongUsage
from pipelines.report_page.page_options import wanted_page
from pipelines.run import file_erasure
from pipelines.settings import Settings
from pipelines.store import run_history
from pipelines.store.atomic_files import copy, publish, sync
from pipelines.store.ledger import build_and_publish
from pipelines.store.leftovers import TRIAL
from pipelines.store.lock import refuse_odd_path
from pipelines.store.losses import histories_of, missing_raw, missing_vault, refuse, swapped
from pipelines.store.raw_copy import read_through

LIST = "backup.json"
DATABASES = ("vault.sqlite", "outbox.sqlite")
FOLDERS = ("receipts", "seeds")


class NoBackup(Failure):
    """A folder is no backup, or not as it was written."""


@dataclass(frozen=True)
class Backup:
    """A whole backup: `files` are the SHA-256 by path, `history_ids` the raw history that it is of."""

    folder: Path
    made_at: str
    files: dict[str, str]
    history_ids: list[str]
    notes: list[str] = field(default_factory=list)
    """Sentences about data that it does not hold."""


@dataclass(frozen=True)
class Restored:
    """The files that a restore put into place, and notes for somebody to read."""

    files: list[str]
    transactions: int
    notes: list[str]


def make(settings: Settings, folder: Path, now: datetime) -> Backup:
    """Writes the backup `folder`, which must not be there yet; the caller holds the lock. Raises a `Failure`, and leaves none."""
    data_dir = settings.data_dir
    refuse(missing_raw(data_dir), missing_vault(settings), swapped(data_dir))
    if not (data_dir / "raw.duckdb").exists() and not (data_dir / "vault.sqlite").exists():
        raise WrongUsage(f"There is nothing to back up in {data_dir}", "`python -m pipelines run` makes it")
    refuse_odd_path(folder, "folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUsage(f"{folder} exists already", "Name a new folder: a backup never replaces another")
    if folder.absolute().is_relative_to(data_dir.absolute()):
        raise WrongUsage(f"{folder} lies in the data directory", "Name a folder on another disk: both would be lost together")
    beside = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir(mode=0o700)
        made = _write(settings, beside, now)
        beside.replace(folder)
        sync(folder.parent)
    except _troubles() as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise NoBackup(
            f"The backup {folder} could not be written ({reason})", "Nothing was changed, and no backup is there"
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Backup(folder, made.made_at, made.files, made.history_ids, made.notes)


def read(folder: Path) -> Backup:
    """Returns the backup in `folder` after comparing every checksum. Raises `NoBackup`."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        backup = Backup(folder, str(listed["made_at"]), dict(listed["files"]), list(listed["history_ids"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise NoBackup(f"{folder} is no finished backup: it has no {LIST} that can be read", "Name another") from None
    for name, digest in backup.files.items():
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file() or _digest(path) != digest:
            raise NoBackup(
                f"The backup {folder} is damaged: {name} is not as it was written", "Nothing was changed. Name another"
            )
    return backup


def check(settings: Settings, backup: Backup) -> Restored:
    """Builds and checks a ledger from the backup and opens its tokens, in a folder that goes again. Raises a `Failure`."""
    with _trial(settings.data_dir, backup) as trial:
        notes = _about_tokens(settings, trial)
        rows = build_and_publish(trial, memory=settings.memory_limit).rows if (trial / "raw.duckdb").exists() else {}
    return Restored(sorted(backup.files), rows.get("transactions", 0), notes)


def restore(settings: Settings, backup: Backup) -> Restored:
    """Puts the backup's files into place and builds the ledger anew; the caller holds the lock.

    The raw history that is there stays as `raw.previous.duckdb`. A vault that is there, can be opened and belongs to this
    history stays: it knows newer tokens, ends and imports; another stays as `vault.previous.sqlite`. Receipts, seeds and a
    history of runs that are there stay. What the vault calls erased is not restored. Raises a `Failure`; until the backup is
    known to be whole nothing has changed.
    """
    data_dir = settings.data_dir
    mine = histories_of(data_dir)
    if mine and backup.history_ids and not mine & set(backup.history_ids):
        raise WrongUsage(
            f"The backup {backup.folder} is of the history {', '.join(backup.history_ids)}, {data_dir} holds {', '.join(mine)}",
            "Nothing was changed. Restore it into its own data directory, or a new one, with --data-dir",
        )
    with _trial(data_dir, backup) as trial:
        notes = _about_tokens(settings, trial)
        put = _put_vault(settings, trial, backup, notes)
        notes += _erased_again(settings, trial)
        if (trial / "raw.duckdb").exists():
            publish(trial / "raw.duckdb", data_dir / "raw.duckdb", data_dir / "raw.previous.duckdb")
            put.append("raw.duckdb")
        put += _put_missing(data_dir, trial, notes)
    (data_dir / "run.last.json").unlink(missing_ok=True)
    rows = _rebuilt(settings)
    if has_vault(settings):
        with vault_of(settings) as vault:
            notes += _erased_since(data_dir, vault)
    return Restored(put, rows.get("transactions", 0), notes)


def restore_previous(settings: Settings) -> Restored:
    """Puts the raw history before the last run into place and builds the ledger anew; the caller holds the lock.

    What is there takes its place, so that a second call undoes the first. Raises a `Failure`, and has changed nothing then.
    """
    data_dir = settings.data_dir
    raw, previous, new = (data_dir / f"raw.{name}duckdb" for name in ("", "previous.", "new."))
    if not previous.exists():
        raise Failure(f"There is no {previous}", "Restore a backup: `python -m pipelines restore DIR`")
    try:
        new.unlink(missing_ok=True)
        copy(previous, new)
        new.chmod(0o600)
        _read_through(new, previous)
        publish(new, raw, previous)
    except OSError as error:
        raise Failure(f"{previous} could not be put into place ({error.strerror})", "Nothing was changed") from None
    finally:
        new.unlink(missing_ok=True)
    return Restored(["raw.duckdb"], _rebuilt(settings).get("transactions", 0), [])


def _write(settings: Settings, folder: Path, now: datetime) -> Backup:
    import duckdb

    data_dir, notes = settings.data_dir, []
    raw = data_dir / "raw.duckdb"
    if raw.exists():
        for file in (raw, raw.with_name("raw.duckdb.wal")):
            if file.exists():
                copy(file, folder / file.name)
        (folder / "raw.duckdb").chmod(0o600)
        with duckdb.connect(folder / "raw.duckdb") as connection:
            connection.execute("set enable_progress_bar = false; checkpoint")
            read_through(connection)
    else:
        notes.append("no raw history: there is none yet")
    for name in DATABASES:
        if (data_dir / name).exists() and not (name == "vault.sqlite" and settings.vault_url):
            _copy_database(data_dir / name, folder / name)
    if settings.vault_url:
        notes.append("no vault: it is in a database of its own, which has its own backup")
    if (data_dir / run_history.FILE).is_file():
        copy(data_dir / run_history.FILE, folder / run_history.FILE)
    for name in FOLDERS:
        if (data_dir / name).is_dir():
            shutil.copytree(data_dir / name, folder / name)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        path.chmod(0o600)
        sync(path)
    made = Backup(
        folder,
        now.isoformat(timespec="seconds"),
        {str(path.relative_to(folder)): _digest(path) for path in files},
        sorted(histories_of(folder)),
        notes,
    )
    about = {"made_at": made.made_at, "version": version("kontoledger"), "history_ids": made.history_ids, "files": made.files}
    (folder / LIST).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    sync(folder / LIST)
    return made


def _copy_database(source: Path, target: Path) -> None:
    """Copies by SQLite's own backup: whole, also while another process writes."""
    with closing(sqlite3.connect(source, timeout=30)) as reading, closing(sqlite3.connect(target)) as writing:
        target.chmod(0o600)
        reading.backup(writing)
        if writing.execute("pragma quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")


@contextmanager
def _trial(data_dir: Path, backup: Backup) -> Iterator[Path]:
    """Yields a private copy of the backup on the data directory's disk, its raw history read to the end."""
    trial = data_dir / TRIAL
    shutil.rmtree(trial, ignore_errors=True)
    try:
        trial.mkdir(mode=0o700)
        for name in backup.files:
            target = trial / name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            copy(backup.folder / name, target)
            target.chmod(0o600)
            sync(target)
        if (trial / "raw.duckdb").exists():
            _read_through(trial / "raw.duckdb", backup.folder / "raw.duckdb")
        yield trial
    except OSError as error:
        raise Failure(
            f"The backup could not be put into {data_dir} ({error.strerror})",
            "Make room or correct the permissions, then restore again",
        ) from None
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _read_through(raw: Path, named: Path) -> None:
    import duckdb

    from pipelines.store.read_only import read_only

    try:
        with read_only(raw) as connection:
            read_through(connection)
    except duckdb.Error as error:
        raise Failure(f"{named} cannot be read ({type(error).__name__})", "Nothing was changed. Restore another backup") from None


def _about_tokens(settings: Settings, trial: Path) -> list[str]:
    """Returns a note when the backup's tokens do not open with the vault key. Raises `Failure` when its vault is none."""
    if not (trial / "vault.sqlite").exists():
        return []
    vault = Vault(trial / "vault.sqlite", settings.vault_key)
    try:
        for consent in vault.consents():
            if consent.has_token:
                vault.token(consent.consent_id)
    except Failure as failure:
        return [f"the backup's tokens cannot be used: {failure}"]
    finally:
        vault.close()
    return []


def _put_vault(settings: Settings, trial: Path, backup: Backup, notes: list[str]) -> list[str]:
    vault, previous = settings.data_dir / "vault.sqlite", settings.data_dir / "vault.previous.sqlite"
    if settings.vault_url or not (trial / "vault.sqlite").exists():
        return []
    if vault.exists():
        with suppress(Failure), vault_of(settings) as there:
            if not backup.history_ids or there.histories() & set(backup.history_ids):
                notes.append(
                    "the vault that is there stays: it belongs to this history, and knows newer tokens, ends and imports"
                )
                return []
        notes.append(f"the vault that was there is kept as {previous.name}")
    publish(trial / "vault.sqlite", vault, previous)
    for rest in ("-journal", "-wal", "-shm"):  # of the one before
        vault.with_name(vault.name + rest).unlink(missing_ok=True)
    return ["vault.sqlite"]


def _put_missing(data_dir: Path, trial: Path, notes: list[str]) -> list[str]:
    """Restores missing receipts, seeds, notifications and the history of runs; existing ones stay."""
    put = []
    for path in sorted(file for name in FOLDERS for file in (trial / name).rglob("*") if file.is_file()):
        name = str(path.relative_to(trial))
        there = data_dir / name
        if not there.exists():
            there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish(path, there)
            put.append(name)
        elif there.read_bytes() != path.read_bytes():
            notes.append(f"{name} stays as it is; the backup's is another")
    for name in ("outbox.sqlite", run_history.FILE):
        if (trial / name).exists() and not (data_dir / name).exists():
            publish(trial / name, data_dir / name)
            put.append(name)
    return put


def _rebuilt(settings: Settings) -> dict[str, int]:
    if not (settings.data_dir / "raw.duckdb").exists():
        return {}
    try:
        return build_and_publish(settings.data_dir, memory=settings.memory_limit, page=wanted_page(settings)).rows
    except Failure as failure:
        failure.also("Raw history is restored; `python -m pipelines transform` tries the ledger again")
        raise


def _erased_again(settings: Settings, trial: Path) -> list[str]:
    """Removes files and consents that were erased since from the backup's raw history; returns a sentence for each."""
    notes = [
        f"the imported file {one} was erased after this backup, and stays erased: its rows are not restored"
        for one in file_erasure.remove_erased_again(trial, settings.data_dir / "receipts")
    ]
    if has_vault(settings):
        with vault_of(settings) as vault:
            erased = remove_erased_again(trial, vault)
        notes += [f"consent {one} was erased after this backup, and stays erased: its rows are not restored" for one in erased]
    return notes


def _erased_since(data_dir: Path, vault: Vault) -> list[str]:
    """Returns a sentence for each consent that was erased after the backup was made, and is there again."""
    receipts = {path.stem.removeprefix("erased-") for path in (data_dir / "receipts").glob("erased-*.json")}
    return [
        f"consent {one.consent_id} was erased after this backup, and its data is there again:"
        f" `python -m pipelines consents erase {one.consent_id} --yes`"
        for one in vault.consents()
        if one.consent_id in receipts and one.status != "erased"
    ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _troubles() -> tuple[type[Exception], ...]:
    import duckdb

    return (OSError, sqlite3.Error, duckdb.Error, shutil.Error)
