"""Compares the trail of closings with itself, and the closed months of raw history with the trail."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from pipelines.consents.closing_trail import ClosingTrail, Record, dated_back, faults, sha256, standing
from pipelines.store.closed_months import ENTRY_COLUMNS, SCHEMA, TRANSACTION_COLUMNS, ClosedMonth, closed_months
from pipelines.store.losses import histories_of
from pipelines.store.sql import rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Both sides of the comparison, and a sentence for each fault."""

    records: list[Record]
    months: list[ClosedMonth]
    faults: list[str]
    notes: list[str] = field(default_factory=list)
    """Sentences for a person about states that are no fault."""

    @property
    def newest(self) -> Record | None:
        """Returns the newest record. A person who keeps its hash can see later whether the trail ends too early."""
        return self.records[-1] if self.records else None


def verified(settings: "Settings", kept: str | None = None) -> Verification:
    """Compares trail and raw history. Raises `Failure` where one of them cannot be read.

    `kept` is the hash of a record that somebody has kept elsewhere: a trail without it ends too early, or was written anew.
    """
    import duckdb

    from pipelines.store.raw_copy import broken
    from pipelines.store.read_only import read_only

    records = trail_of(settings)
    found, months = faults(records), list[ClosedMonth]()
    if kept is not None and kept not in {one.hash for one in records}:
        found.append(f"no record has the hash {kept}: the trail ends too early, or was written anew")
    raw = settings.data_dir / "raw.duckdb"
    if raw.exists():
        try:
            with read_only(raw) as connection:
                months = closed_months(connection)
                found += [*_differing(months, records), *(_altered(connection, months) if months else ())]
        except duckdb.Error as error:
            raise broken(raw, error) from None
    return Verification(records=records, months=months, faults=found, notes=dated_back(records))


def trail_of(settings: "Settings") -> list[Record]:
    """Returns the trail of this raw history, oldest first; nothing where no vault or no history is there."""
    from pipelines.consents.clients import has_vault, vault_of

    histories = histories_of(settings.data_dir)
    if not histories or not has_vault(settings):
        return []
    with vault_of(settings) as vault:
        return [one for history_id in sorted(histories) for one in ClosingTrail(vault.database, history_id).records()]


def _differing(months: Sequence[ClosedMonth], records: Sequence[Record]) -> list[str]:
    """Returns a sentence for each month that raw history and trail do not hold alike."""
    known = standing(records)
    every = {one.figures_sha256 for one in records}
    found = []
    again = "`python -m pipelines close` with this month adds it"
    anew = "`python -m pipelines reopen` and `close` with this month record it anew"
    for one in months:
        record = known.pop((one.account_id, one.name), None)
        if record is None and sha256(one.figures) in every:
            found.append(f"{one.account_id}, {one.name}: reopened in the trail and closed in raw history: `reopen` it again")
        elif record is None:
            found.append(f"{one.account_id}, {one.name}: closed in raw history and not in the trail: {again}")
        elif record.figures_sha256 != sha256(one.figures):
            found.append(f"{one.account_id}, {one.name}: raw history does not have the figures of record {record.number}: {anew}")
    found += [
        f"{account_id}, {month}: closed by record {one.number} and not in raw history: {again}"
        for (account_id, month), one in known.items()
    ]
    return found


def _altered(connection: "DuckDBPyConnection", months: Sequence[ClosedMonth]) -> list[str]:
    """Returns a sentence for the rows of a closed month that are not those of its figures."""
    transactions = _hashes(connection, "transactions", TRANSACTION_COLUMNS)
    entries = _hashes(connection, "legs", ENTRY_COLUMNS)
    nothing = sha256("")
    found = []
    for one in months:
        if transactions.pop((one.account_id, one.month), nothing) != one.transactions_sha256:
            found.append(f"{one.account_id}, {one.name}: its transactions in raw history differ from the closed ones")
        if entries.pop((one.account_id, one.month), nothing) != one.entries_sha256:
            found.append(f"{one.account_id}, {one.name}: its entries in raw history differ from the closed ones")
    return found + [
        f"{account_id}, {month:%Y-%m}: raw history has rows of a closed month, and the month is not closed"
        for account_id, month in sorted({*transactions, *entries})
    ]


def _hashes(connection: "DuckDBPyConnection", table: str, columns: Sequence[str]) -> dict[tuple[str, date], str]:
    """Returns the hash of each month's rows, as `closed_months` computes it. DuckDB compares texts by their bytes, too."""
    found: dict[tuple[str, date], str] = {}
    query = f"""
        select account_id, month, sha256(string_agg(line, '' order by line)) as hash
        from (
            select account_id, month, concat_ws(';', {", ".join(columns)}) || chr(10) as line
            from {SCHEMA}.{table}
            where account_id = $account
        )
        group by account_id, month
    """
    # One account after the other: DuckDB holds all lines of a query until they are sorted
    for account in rows_of(connection, f"select distinct account_id from {SCHEMA}.{table}"):
        for one in rows_of(connection, query, {"account": account["account_id"]}):
            found[one["account_id"], one["month"]] = one["hash"]
    return found
