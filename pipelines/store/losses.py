"""Losses: a file of the data directory that is missing though there was one, or that belongs to another history.

Each file says what the others were: a ledger or a vault with imports comes from raw history, the consents in raw history come
from a vault. So an empty data directory is a first run, and one that lost a file is not taken for one. Raw history also has an
id, which its vault knows, and the path that it was last published at.
"""

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.errors import Failure

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.settings import Settings

START_NEW = "`python -m pipelines run --start-new`"
BACKUP = "`python -m pipelines restore DIR` brings it back from a backup"
_IDENTITY = """
create schema if not exists kontoledger;
create table if not exists kontoledger.history (history_id varchar, began_at timestamptz, data_dir varchar)
"""


class HistoryLost(Failure):
    """A file of the data directory is missing, or belongs to another history. Nothing was read, changed or made."""


class KnowsImports(Protocol):
    """A vault, as far as it is a witness of raw history."""

    def has_imported(self) -> bool:
        """Returns whether any consent has been imported."""

    def histories(self) -> set[str]:
        """Returns the ids of the raw histories that were read with it."""

    def is_blank(self) -> bool:
        """Returns whether nothing was ever written into it."""


@dataclass(frozen=True)
class Identity:
    """Which history a raw history is. `new`: it had no id before, so no vault can know it."""

    history_id: str
    new: bool


def identified(connection: "DuckDBPyConnection", data_dir: Path) -> Identity:
    """Returns the id of the raw history at `connection`; gives it one where it has none, and notes its data directory's path."""
    here = str(data_dir.absolute())
    connection.execute(_IDENTITY)
    found = connection.execute("select history_id, data_dir from kontoledger.history").fetchall()
    if not found:
        identity = Identity(f"h-{secrets.token_hex(6)}", new=True)
        values = [identity.history_id, datetime.now(UTC), here]
        connection.execute("insert into kontoledger.history values (?, ?, ?)", values)
        return identity
    ((history_id, there),) = found
    if there != here:
        connection.execute("update kontoledger.history set data_dir = ?", [here])
    return Identity(history_id, new=False)


def swapped(data_dir: Path) -> HistoryLost | None:
    """Returns what to say where raw history was last published at another path, which now holds the history of this one."""
    here = str(data_dir.absolute())
    for history_id, there in _content(data_dir / "raw.duckdb").histories:
        if there != here and _is_of(Path(there), here, other_than=history_id):
            return HistoryLost(
                f"The data directories {here} and {there} are swapped: each holds the history of the other; nothing was read or"
                " changed",
                f"Swap them, or their mounts, back. If they are meant to stay so: {START_NEW} for each",
            )
    return None


def missing_raw(data_dir: Path, vault: "KnowsImports | None" = None) -> HistoryLost | None:
    """Returns what to say where raw history is missing and vault, ledger or the file of the run before say that there was one.

    A database without any table of ours counts as missing: DuckDB makes an empty one of a file that somebody looks for.
    """
    raw, previous = data_dir / "raw.duckdb", data_dir / "raw.previous.duckdb"
    if raw.exists() and _content(raw).is_ours:
        return None
    witness = next((file for file in (previous, data_dir / "ledger.duckdb") if file.exists()), None)
    if witness is not None:
        known = f"{witness.name} is there"
    elif vault is not None and vault.has_imported():
        known = "its vault knows of imports"
    else:
        return None
    ways = (
        [f"`python -m pipelines restore --previous` brings back the one of the run before ({previous})"]
        if previous.exists()
        else []
    )
    state = "is missing" if not raw.exists() else "holds no table of a raw history"
    return HistoryLost(
        f"Raw history {raw} {state}, and {known}: this is no first run, and nothing was read or changed",
        f"Check that the right disk is mounted. {'. '.join([*ways, BACKUP])}."
        f" To begin anew with what the banks still show: {START_NEW}; the ledger then holds only that",
    )


def missing_vault(settings: "Settings", vault: "KnowsImports | None" = None) -> HistoryLost | None:
    """Returns what to say where there is no vault and raw history or the ledger hold consents that came from one.

    A vault in which nothing was ever written counts as missing, in a database of its own, too: it may be the wrong one.
    """
    path = settings.data_dir / "vault.sqlite"
    there = settings.vault_url is not None or path.exists()
    if (there and (vault is None or not vault.is_blank())) or not _knows_consents(settings.data_dir):
        return None
    named = f"The vault {path}" if settings.vault_url is None else "The vault in the database of pipelines.vault_url"
    return HistoryLost(
        f"{named} is {'empty' if there else 'missing'}, and the history beside it was read with its consents; nothing was read or"
        " changed",
        f"Check that the right disk is mounted, and that the right database is named. {BACKUP}. Without one: {START_NEW} begins"
        " an empty vault, then connect every bank again and ask the vendor to end the old consents; raw history stays",
    )


def missing_ledger(data_dir: Path) -> HistoryLost | None:
    """Returns what to say where the last run published a ledger and there is none."""
    ledger = data_dir / "ledger.duckdb"
    if ledger.exists() or not (data_dir / "raw.duckdb").exists() or not _was_published(data_dir):
        return None
    return HistoryLost(
        f"The ledger {ledger} is missing, though the last run published it; nothing was read or changed",
        "Check that the right disk is mounted. `python -m pipelines transform` builds it again from raw history;"
        f" {START_NEW} does so after reading the banks",
    )


def other_ledger(data_dir: Path) -> HistoryLost | None:
    """Returns what to say where the ledger has accounts, and raw history beside it has none of them."""
    ledger, raw = data_dir / "ledger.duckdb", data_dir / "raw.duckdb"
    if not ledger.exists() or not raw.exists():
        return None
    published, known = _content(ledger).accounts, _content(raw).accounts
    if not published or published & known or not known:
        return None
    return HistoryLost(
        f"The ledger {ledger} is not of the raw history {raw}: they share no account; nothing was read or changed",
        "Put the files back that belong together. If raw history is the right one: `python -m pipelines transform`",
    )


def other_vault(data_dir: Path, vault: "KnowsImports | None") -> HistoryLost | None:
    """Returns what to say where the vault belongs to other histories than the one beside it."""
    known = vault.histories() if vault is not None else set()
    beside = histories_of(data_dir) if known else set()
    if not beside or known & beside:
        return None
    return HistoryLost(
        f"The vault of {data_dir} belongs to the history {', '.join(sorted(known))}, and its raw.duckdb is the history"
        f" {', '.join(beside)}: files of two data directories are mixed; nothing was read or changed",
        f"Put the files back that belong together, or {BACKUP}. If these two are to stay together: {START_NEW}",
    )


def histories_of(data_dir: Path) -> set[str]:
    """Returns the id of the raw history in a folder; nothing where none is, or where an earlier version wrote it."""
    return {history_id for history_id, _ in _content(data_dir / "raw.duckdb").histories}


def refuse(*losses: HistoryLost | None) -> None:
    """Raises the first loss that is one."""
    for loss in losses:
        if loss is not None:
            raise loss


def _knows_consents(data_dir: Path) -> bool:
    return any(_content(data_dir / name).has_consents for name in ("raw.duckdb", "ledger.duckdb"))


def _was_published(data_dir: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError, TypeError):
        published = json.loads((data_dir / "run.last.json").read_text(encoding="utf-8")).get("published")
        return published is not None and Path(published).name == "ledger.duckdb"  # the directory may have moved since
    return False


def _is_of(data_dir: Path, path: str, *, other_than: str) -> bool:
    """Returns whether the data directory `data_dir` holds another history, which was last published at `path`."""
    if not (data_dir / "ledger.duckdb").exists():
        return False
    histories = _content(data_dir / "raw.duckdb").histories
    return any(path == its_path and history_id != other_than for history_id, its_path in histories)


@dataclass(frozen=True)
class _Content:
    """What raw history or a ledger says of itself: the histories with their paths, its accounts, and whether it has consents."""

    histories: frozenset[tuple[str, str]] = frozenset()
    accounts: frozenset[str] = frozenset()
    has_consents: bool = False
    is_ours: bool = True
    """Whether it has any table of a raw history; a file that cannot be read is reported elsewhere."""


def _content(path: Path) -> _Content:
    """Returns the content of a file; nothing where it is missing or cannot be read, which others report."""
    if not path.exists():
        return _Content()
    import duckdb

    with suppress(duckdb.Error, OSError):
        at = path.stat()
        return _read_once(path, at.st_ino, at.st_mtime_ns, at.st_size)
    return _Content()


@lru_cache(maxsize=8)
def _read_once(path: Path, *_state: int) -> _Content:
    """Opens each state of a file once: a run asks several times, and to open one costs more than the questions."""
    import duckdb

    from pipelines.store.banks import BANKS
    from pipelines.store.files import FILE
    from pipelines.store.read_only import read_only

    with read_only(path) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            with suppress(duckdb.CatalogException):  # a history of an earlier version, or of one bank only
                return connection.execute(query).fetchall()
            return []

        names = ", ".join(f"'{schema}'" for schema in ("kontoledger", FILE, *(bank.name for bank in BANKS)))
        schemas = ("main",) if path.name == "ledger.duckdb" else (*(bank.name for bank in BANKS), FILE)
        return _Content(
            frozenset(rows("select history_id, data_dir from kontoledger.history")),
            frozenset(account for schema in schemas for (account,) in rows(f"select distinct account_id from {schema}.accounts")),
            any(rows(f"select 1 from {schema}.consents limit 1") for schema in schemas),
            bool(rows(f"select 1 from duckdb_tables() where schema_name in ({names}) limit 1")),
        )
