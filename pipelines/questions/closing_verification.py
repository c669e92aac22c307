"""Compares the trail of closings with itself, and the closed months of raw history with the trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.consents.closing_trail import ClosingTrail, Record, faults, sha256, standing
from pipelines.questions.closing import entries_sha256, transactions_sha256
from pipelines.store.closed_months import SCHEMA, ClosedMonth, closed_months
from pipelines.store.losses import histories_of
from pipelines.store.sql import rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was compared, and a sentence for each thing that is not as it was recorded."""

    records: list[Record]
    months: list[ClosedMonth]
    faults: list[str]

    @property
    def newest(self) -> Record | None:
        """Returns the newest record: who keeps its hash elsewhere sees, too, when the trail ends too early."""
        return self.records[-1] if self.records else None


def verified(settings: "Settings") -> Verification:
    """Compares trail and raw history. Raises `Failure` where one of them cannot be read."""
    import duckdb

    from pipelines.store.raw_copy import broken
    from pipelines.store.read_only import read_only

    records = trail_of(settings)
    raw = settings.data_dir / "raw.duckdb"
    if not raw.exists():
        return Verification(records=records, months=[], faults=faults(records))
    try:
        with read_only(raw) as connection:
            months = closed_months(connection)
            found = [*faults(records), *_differing(months, records)]
            found += [sentence for one in months for sentence in _altered(connection, one)]
    except duckdb.Error as error:
        raise broken(raw, error) from None
    return Verification(records=records, months=months, faults=found)


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
    for one in months:
        record = known.pop((one.account_id, one.name), None)
        if record is None and sha256(one.figures) in every:
            found.append(f"{one.account_id}, {one.name}: reopened in the trail and closed in raw history: `reopen` it again")
        elif record is None:
            found.append(f"{one.account_id}, {one.name}: closed in raw history and not in the trail: {again}")
        elif record.figures_sha256 != sha256(one.figures):
            found.append(f"{one.account_id}, {one.name}: raw history does not have the figures of record {record.number}")
    found += [
        f"{account_id}, {month}: closed by record {one.number} and not in raw history: {again}"
        for (account_id, month), one in known.items()
    ]
    return found


def _altered(connection: "DuckDBPyConnection", month: ClosedMonth) -> list[str]:
    """Returns a sentence for the rows of a closed month that are not those of its figures."""
    given = [month.account_id, month.month]
    which = "where account_id = $1 and month = $2"
    transactions = rows_of(connection, f"select * from {SCHEMA}.transactions {which}", given)
    legs = rows_of(connection, f"select * from {SCHEMA}.legs {which}", given)
    found = []
    if transactions_sha256(transactions) != month.transactions_sha256:
        found.append(f"{month.account_id}, {month.name}: its transactions in raw history are not those that were closed")
    if entries_sha256(legs) != month.entries_sha256:
        found.append(f"{month.account_id}, {month.name}: its entries in raw history are not those that were closed")
    return found
