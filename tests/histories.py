"""Raw history without a bank: answers made of a few rows, settled, packed and loaded as a run does it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.changes.changeset import ChangesetBuilder
from pipelines.read.context import RunContext
from pipelines.read.options import Options, Progress
from pipelines.read.outcome import Answer, Outcome
from pipelines.settings import Settings
from pipelines.store import banks, load
from pipelines.store.raw_copy import RawCopy, opened
from pipelines.store.shape import Shape
from sources._columns import read_by_source
from sources._spool import SpoolFile
from sources.kontomatik.columns import TABLES as KONTOMATIK

Row = dict[str, Any]
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)


def kontist(number: int | str, day: str, cents: int, *, pending: bool = False, **more: Any) -> Row:
    """Returns a row as Kontist's reader hands it over; booked unless `pending`."""
    on = date.fromisoformat(day)
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    booked = {"valuta_date": None if pending else at, "booking_type": None if pending else "SEPA_CREDIT_TRANSFER"}
    shown = {"source_transaction_id": str(number), "window_on": on, "amount_cents": cents, "booking_date": at}
    return shown | booked | more


def kontomatik(day: str, amount: str, *, booked: str | None = "", pending: bool = False, **more: Any) -> Row:
    """Returns a row as Kontomatik's reader hands it over; booked on the same day unless `booked_on` says otherwise."""
    on = date.fromisoformat(day)
    booked_on = None if pending or booked is None else date.fromisoformat(booked) if booked else on
    days = {"window_on": min(on, booked_on or on), "transaction_on": on, "booked_on": booked_on}
    return days | {"amount": Decimal(amount), "currency": "EUR", "status": "PENDING" if pending else "DONE"} | more


def days_that_differ(connection: Any, shape: Any, read_days: str | None = None) -> list[tuple[Any, ...]]:
    """Returns accounts and days for which `read_days` has another number or sum of booked rows than there are."""
    found: list[tuple[Any, ...]] = connection.execute(
        f"""
        with held as (
            select account_id, {shape.booked_on} as day, count(*) as rows, sum({shape.money}) as amount
            from {shape.table} where _dlt_valid_to is null and {shape.booked} group by all
        )
        select * from held
        full outer join (from {read_days or shape.dataset + ".read_days"} where rows > 0) as stored using (account_id, day)
        where held.rows is distinct from stored.rows or held.amount is distinct from stored.amount
        """
    ).fetchall()
    return found


@dataclass
class Raw:
    """Raw history of one bank, read again and again."""

    dataset: str
    history: RawCopy
    settings: Settings = field(default_factory=Settings)
    clock: datetime = NOON
    accepts: frozenset[str] = frozenset()
    currency: str = "EUR"
    balance_cents: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Of the last read, by account."""
    _reads: int = 0

    @property
    def bank(self) -> banks.Bank:
        return banks.KONTIST if self.dataset == "kontist" else banks.KONTOMATIK

    @property
    def shape(self) -> Shape:
        return self.bank.shape

    def read(
        self,
        shown: Mapping[str, Sequence[Row]],
        since: str | None = None,
        *,
        complete: bool = True,
        depth_known: bool = True,
        newest_first: bool = True,
        **more: Any,
    ) -> dict[str, tuple[int, int, int]]:
        """Runs once with these rows, in the bank's order; returns what the run brought, changed and took away by account."""
        self._reads += 1
        self.clock += timedelta(hours=8)
        self.outcomes = {}
        answers = []
        for number, (account, rows) in enumerate(shown.items()):
            outcome = Outcome(self.dataset, self.clock, account_id=account)
            self.outcomes[account] = outcome
            answers.append(
                Answer(
                    outcome=outcome,
                    account=self._account(account),
                    spool=self._spool(number, rows),
                    depth="deep" if since else "full",
                    since=date.fromisoformat(since) if since else None,
                    as_of=self.clock.date(),
                    complete=complete,
                    depth_known=depth_known,
                    newest_first=newest_first,
                    **more,
                )
            )
        options = Options(accept_removals=tuple(self.accepts))
        context = RunContext(self.settings, options, self.history, None, Progress(), lambda: self.clock)
        builder = ChangesetBuilder(context, self.bank, self.cursors(), run_id=f"r-{self._reads}")
        load.load(self.history, builder.build(answers, self.outcomes.values()))
        return {name: (one.counts.new, one.counts.changed, one.counts.removed) for name, one in self.outcomes.items()}

    def cursors(self) -> dict[str, Any]:
        """Returns dlt's state."""
        load.create_tables(self.history)
        return load.cursors(self.history, self.dataset)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Returns the answer of raw history."""
        return self.history.connection.execute(text.format(t=f"{self.dataset}.transactions")).fetchall()

    def current(self, *columns: str, account: str = "A") -> list[tuple[Any, ...]]:
        """Returns the current versions' columns, sorted."""
        wanted = ", ".join(columns)
        return self.query(f"select {wanted} from {{t}} where _dlt_valid_to is null and account_id = '{account}' order by all")

    def faults(self) -> list[tuple[Any, ...]]:
        """Transactions with more than one current version, and versions that overlap. There must be none."""
        return self.query(
            """
            select transaction_id, 'two current versions' from {t} where _dlt_valid_to is null group by 1 having count(*) > 1
            union all
            select a.transaction_id, 'versions overlap' from {t} a join {t} b using (transaction_id)
            where a._dlt_valid_from < b._dlt_valid_from and (a._dlt_valid_to is null or a._dlt_valid_to > b._dlt_valid_from)
            union all
            select transaction_id, 'a version ends before it begins' from {t} where _dlt_valid_to <= _dlt_valid_from
            """
        )

    def days_that_differ(self) -> list[tuple[Any, ...]]:
        """Returns the days on which history does not hold what was read. There must be none."""
        return days_that_differ(self.history.connection, self.shape)

    def _spool(self, number: int, rows: Sequence[Row]) -> SpoolFile:
        schema = read_by_source(self.shape.schema)
        spool = SpoolFile(self.history.work / f"{self._reads}-{number}.parquet", schema)
        if rows:
            whole = [{name: row.get(name) for name in schema.names} for row in rows]
            spool.add(pa.RecordBatch.from_pylist(whole, schema=schema))
        return spool

    def _account(self, account: str) -> dict[str, Any]:
        own = {"account_id": account, "source_account_id": account}
        if self.dataset == "kontist":
            return own | {"iban": None, "balance_cents": self.balance_cents, "account_type": "solaris", "extra": None}
        named = {"consent_id": "c", "institution": "Bank", "account_type": "account", "currency": self.currency}
        return dict.fromkeys(KONTOMATIK["accounts"].names[:-2]) | own | named


@contextmanager
def raw_history(folder: Path, dataset: str = "kontist", **more: Any) -> Iterator[Raw]:
    """Returns an empty raw history, gone with the test."""
    with opened(folder) as (history, _):
        yield Raw(dataset, history, **more)
