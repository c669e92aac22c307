"""Finds the rows that a consent or a file brought into raw history, and removes them for good.

Raw history is written into a new file, because a deleted row's bytes stay in the free blocks of the old one. The file before it
is removed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.store.atomic_files import publish
from pipelines.store.files import FILE
from pipelines.store.ledger import forget_record
from pipelines.store.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.consents.vault import Vault
    from pipelines.store.raw_copy import RawCopy


def remove_erased_again(data_dir: Path, vault: "Vault") -> list[str]:
    """Removes from an older raw history what was erased since; returns the consents, by the vault, whose rows were there.

    An account stays if a consent that is not erased has read it, too.
    """
    known = vault.consents()
    standing = {one.consent_id for one in known if one.status != "erased"}
    found: list[str] = []
    for source in sorted({one.source for one in known if one.status == "erased"}):
        erased = {one.consent_id for one in known if one.source == source and one.status == "erased"}
        readers = brought(data_dir, source)
        there = sorted(erased & set().union(*readers.values()))
        accounts = [account for account, consent_ids in readers.items() if consent_ids & erased and not consent_ids & standing]
        removed = remove_rows(data_dir, source, there, accounts, lambda _: None) if there else {}
        if removed.keys() - {f"{source}.consents"}:  # that table has erased consents, too, without anything that they brought
            found += there
    return found


def brought(data_dir: Path, dataset: str) -> dict[str, set[str]]:
    """Returns from raw history, for each account, the consents that it was read through."""
    import duckdb

    from pipelines.store.raw_copy import broken
    from pipelines.store.read_only import read_only

    raw = data_dir / "raw.duckdb"
    if not raw.exists():
        return {}
    query = f"select account_id, list(distinct consent_id) from {dataset}.imports where account_id is not null group by 1"
    try:
        with read_only(raw) as connection:
            return {account: set(consent_ids) for account, consent_ids in connection.execute(query).fetchall()}
    except duckdb.CatalogException:
        return {}
    except duckdb.Error as error:
        raise broken(raw, error) from None


def remove_rows(
    data_dir: Path, dataset: str, consent_ids: list[str], accounts: list[str], begin: Callable[[dict[str, int]], None]
) -> dict[str, int]:
    """Deletes what these consents brought, with all rows of these accounts; returns the rows removed by table.

    `begin` gets these counts before the file is published.
    """
    from pipelines.store import load

    def delete(history: "RawCopy") -> dict[str, int]:
        connection = history.connection
        removed = _delete(connection, dataset, consent_ids, accounts)
        state = load.cursors(history, dataset)
        for kind in {"accounts", "doubts"} | ({"unlisted", "aliases"} & state.keys()):
            kept = {one: said for one, said in state.get(kind, {}).items() if one not in accounts}
            # an alias is the id of an account under its later number
            state[kind] = {one: said for one, said in kept.items() if kind != "aliases" or said not in accounts}
        load.load(history, load.Changeset(dataset, cursors=state))
        # Older states and window tables name the accounts too.
        states = f"{dataset}._dlt_pipeline_state"
        connection.execute(f"delete from {states} where version < (select max(version) from {states})")
        for table in ("read_windows", "moved_rows"):
            connection.execute(f"delete from {dataset}.{table}")
        return removed

    return write_anew(data_dir, delete, begin)


def write_anew(
    data_dir: Path, delete: "Callable[[RawCopy], dict[str, int]]", begin: Callable[[dict[str, int]], None]
) -> dict[str, int]:
    """Calls `delete` with the working copy, writes that into a new file, and publishes it; returns the rows removed by table.

    `begin` gets these counts before the file is published. The file before it is removed.
    """
    import duckdb

    from pipelines.store.raw_copy import STORAGE, broken, opened

    raw, fresh = data_dir / "raw.duckdb", data_dir / "raw.erased.duckdb"
    for leftover in (fresh, fresh.with_name(fresh.name + ".wal")):
        leftover.unlink(missing_ok=True)
    # Not `changing_raw`: the copy keeps removed rows in its free blocks, so it is written into a fresh file and thrown away.
    with opened(data_dir) as (history, _):
        connection = history.connection
        try:
            removed = delete(history)
            connection.execute(f"attach {literal(fresh)} as fresh (storage_version '{STORAGE}')")
            fresh.chmod(0o600)  # before any row is in it
            (name,) = connection.execute("select current_database()").fetchall()[0]
            connection.execute(f'copy from database "{name}" to fresh')
            connection.execute("detach fresh")
        except (duckdb.Error, OSError) as error:
            fresh.unlink(missing_ok=True)
            raise broken(raw, error) from None
    begin(removed)
    forget_record(data_dir)
    publish(fresh, raw)
    for before in ("raw.previous.duckdb", "vault.previous.sqlite"):
        (data_dir / before).unlink(missing_ok=True)
    return removed


def joined_accounts(data_dir: Path, accounts: list[str]) -> list[str]:
    """Returns the accounts of files that were joined to one of these and stay on record (`file.accounts.same_as`)."""
    import duckdb

    from pipelines.store.read_only import read_only

    raw = data_dir / "raw.duckdb"
    if not raw.exists():
        return []
    with read_only(raw) as connection:
        try:
            return _joined(connection, accounts)
        except duckdb.Error:  # an earlier version wrote it, without files
            return []


def accounts_of_files(data_dir: Path) -> int:
    """Returns the number of accounts that are known from imported files only: no consent has read them."""
    import duckdb

    from pipelines.store.read_only import read_only

    raw = data_dir / "raw.duckdb"
    if not raw.exists():
        return 0
    with read_only(raw) as connection:
        try:
            query = f"select count(distinct account_id) from {FILE}.accounts semi join {FILE}.files using (account_id)"
            return int(connection.execute(query).fetchall()[0][0])
        except duckdb.Error:  # an earlier version wrote it, without files
            return 0


def _joined(connection: "DuckDBPyConnection", accounts: list[str]) -> list[str]:
    query = f"select distinct account_id from {FILE}.accounts where same_as in (select unnest(?)) order by 1"
    return [account_id for (account_id,) in connection.execute(query, [accounts]).fetchall()]


def _delete(connection: "DuckDBPyConnection", dataset: str, consent_ids: list[str], accounts: list[str]) -> dict[str, int]:
    """Deletes the rows of these accounts and consents in every table that names either, of files and dlt's staging, too."""
    found = connection.execute(
        "select schema_name, table_name, list(column_name) from duckdb_columns()"
        " where schema_name in (?, ?, ?, 'closings') and column_name in ('account_id', 'consent_id', 'same_as') group by all",
        [dataset, f"{dataset}_staging", FILE],
    ).fetchall()
    if any("same_as" in columns for _, _, columns in found):
        accounts = [*accounts, *_joined(connection, accounts)]
    removed: dict[str, int] = {}
    for schema, table, columns in found:
        conditions: list[str] = []
        values: list[list[str]] = []
        if "account_id" in columns:
            conditions.append("account_id in (select unnest(?))")
            values.append(accounts)
        if "consent_id" in columns and table != "accounts":
            conditions.append("consent_id in (select unnest(?))")
            values.append(consent_ids)
        if "account_id" in columns and "consent_id" in columns and table == "imports":
            # What a shared account was read by stays with the account, whoever read it.
            conditions = ["account_id in (select unnest(?)) or (consent_id in (select unnest(?)) and account_id is null)"]
        ((count,),) = connection.execute(f"delete from {schema}.{table} where {' or '.join(conditions)}", values).fetchall()
        if count and not schema.endswith("_staging"):
            removed[f"{schema}.{table}"] = count
    return removed
