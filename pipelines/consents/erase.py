"""Erasing what a revoked consent brought: its rows in raw history and the ledger, its key, and a receipt as proof.

Erasure is asked for once and stays asked for until it is done; every step may be repeated, so a crash anywhere is mended by the
next run. Raw history is written into a fresh file, because a deleted row's bytes stay in the free blocks of the old one, and
the file before it is removed.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.consents.registry import Consent, Vault
from pipelines.errors import Failure
from pipelines.publish import publish
from pipelines.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATASET = "kontomatik"


@dataclass
class Receipt:
    """Proof of an erasure: what was removed, when, and what was kept and why. Names no person, account number or amount."""

    consent_id: str
    institution: str
    asked_at: str
    revoked: str
    erased_at: str = ""
    accounts_removed: int = 0
    rows_removed: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        rows = "\n".join(f"  {table}: {count}" for table, count in sorted(self.rows_removed.items()))
        kept = "\n".join(f"  - {reason}" for reason in self.kept)
        steps = "\n".join(f"  - {step}" for step in self.steps)
        return (
            f"Receipt of erasure\n\nConsent {self.consent_id} ({self.institution})\nAsked for: {self.asked_at}\n"
            f"Consent at the bank: {self.revoked}\nErased: {self.erased_at}\nAccounts removed: {self.accounts_removed}\n\n"
            f"Rows removed per table:\n{rows or '  none'}\n\nDone:\n{steps}\n\nKept, and why:\n{kept}\n"
        )


def finish_erasures(settings: Settings, vault: Vault, now: Callable[[], datetime]) -> list[str]:
    """Erase every consent for which that was asked and whose end the bank has confirmed. Returns a sentence for each."""
    sentences = []
    for consent in vault.consents(status=("revoked", "expired")):
        if consent.erase_asked_at is not None:
            path = erase(settings, vault, consent, now)
            sentences.append(f"consent {consent.consent_id} is erased: {path}")
    return sentences


def erase(settings: Settings, vault: Vault, consent: Consent, now: Callable[[], datetime]) -> Path:
    """Remove all that only this consent brought; returns the receipt's path. The caller holds the data directory's lock.

    Raises `Failure` when the consent is not over yet, or a file cannot be written.
    """
    if consent.status not in ("revoked", "expired"):
        raise Failure(f"Consent {consent.consent_id} is {consent.status}", "Revoke it first")
    receipt = Receipt(
        consent.consent_id,
        consent.institution,
        _minute(consent.erase_asked_at or now()),
        f"{consent.status}: {consent.status_reason}",
    )
    accounts = vault.accounts_of(consent.consent_id)
    shared = [one for one in accounts if _others(vault, one, consent.consent_id)]
    own = [one for one in accounts if one not in shared]
    if (settings.data_dir / "raw.duckdb").exists():
        receipt.rows_removed = _remove_from_raw(settings.data_dir, consent.consent_id, own)
        receipt.steps.append("raw history was written anew without these rows; the file before it was removed")
        _rebuild_ledger(settings, receipt)
    (settings.data_dir / "run.last.json").unlink(missing_ok=True)
    vault.covers(consent.consent_id, [])
    vault.move(consent.consent_id, "erased", "its data and its key are destroyed", now())
    receipt.steps.append("the consent's key and token were destroyed in the vault")
    receipt.accounts_removed = len(own)
    receipt.erased_at = _minute(now())
    receipt.kept = [
        "the consent's entry in the vault (institution, times, state) and its audit trail: proof of what was allowed and ended",
        "the times of its imports in the vault: they count against the bank's quota",
    ]
    if shared:
        receipt.kept.append(f"{len(shared)} accounts with their rows: another consent that is not erased reads them too")
    return _write(settings.data_dir / "receipts", receipt, now())


def _others(vault: Vault, account_id: str, consent_id: str) -> list[str]:
    readers = [one for one in vault.readers_of(account_id) if one != consent_id]
    return [one for one in readers if vault.consent(one).status != "erased"]


def _remove_from_raw(data_dir: Path, consent_id: str, accounts: list[str]) -> dict[str, int]:
    """Delete in the working copy, write that into a fresh file, and put it into place. Returns rows removed per table."""
    import duckdb

    from pipelines import load
    from pipelines.history import STORAGE, broken, opened

    raw, fresh = data_dir / "raw.duckdb", data_dir / "raw.erased.duckdb"
    fresh.unlink(missing_ok=True)
    with opened(data_dir) as (history, _):
        connection = history.connection
        try:
            removed = _delete(connection, consent_id, accounts)
            state = load.cursors(history, DATASET)
            for kind in ("accounts", "doubts"):
                state[kind] = {one: cursor for one, cursor in state.get(kind, {}).items() if one not in accounts}
            load.load(history, load.Package(DATASET, cursors=state))
            # Older states and window tables name the accounts too.
            states = f"{DATASET}._dlt_pipeline_state"
            connection.execute(f"delete from {states} where version < (select max(version) from {states})")
            for table in ("read_windows", "moved_rows"):
                connection.execute(f"delete from {DATASET}.{table}")
            connection.execute(f"attach '{_quoted(fresh)}' as fresh (storage_version '{STORAGE}')")
            (name,) = connection.execute("select current_database()").fetchall()[0]
            connection.execute(f'copy from database "{name}" to fresh')
            connection.execute("detach fresh")
        except (duckdb.Error, OSError) as error:
            fresh.unlink(missing_ok=True)
            raise broken(raw, error) from None
    publish(fresh, raw)
    (data_dir / "raw.previous.duckdb").unlink(missing_ok=True)
    return removed


def _delete(connection: "DuckDBPyConnection", consent_id: str, accounts: list[str]) -> dict[str, int]:
    """Delete the rows of these accounts and of the consent wherever either is named, dlt's staging tables included."""
    found = connection.execute(
        "select schema_name, table_name, list(column_name) from duckdb_columns()"
        " where schema_name in (?, ?) and column_name in ('account_id', 'consent_id') group by all",
        [DATASET, f"{DATASET}_staging"],
    ).fetchall()
    removed: dict[str, int] = {}
    for schema, table, columns in found:
        conditions: list[str] = []
        values: list[list[str] | str] = []
        if "account_id" in columns:
            conditions.append("account_id in (select unnest(?))")
            values.append(accounts)
        if "consent_id" in columns and table != "accounts":
            conditions.append("consent_id = ?")
            values.append(consent_id)
        if "account_id" in columns and "consent_id" in columns and table == "imports":
            # What a shared account was read by stays with the account, whoever read it.
            conditions = ["account_id in (select unnest(?)) or (consent_id = ? and account_id is null)"]
        ((count,),) = connection.execute(f"delete from {schema}.{table} where {' or '.join(conditions)}", values).fetchall()
        if count and not schema.endswith("_staging"):
            removed[f"{schema}.{table}"] = count
    return removed


def _rebuild_ledger(settings: Settings, receipt: Receipt) -> None:
    from pipelines.ledger import build_and_publish

    built = build_and_publish(settings.data_dir)
    receipt.steps.append(f"the ledger was built anew and passed {len(built.checks)} checks")


def _write(folder: Path, receipt: Receipt, now: datetime) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    name = f"erased-{receipt.consent_id}-{now:%Y%m%dT%H%M%SZ}"
    content: dict[str, Any] = asdict(receipt)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / f"{name}.txt").write_text(receipt.text(), encoding="utf-8")
    return path


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
