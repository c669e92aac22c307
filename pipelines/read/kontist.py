"""Reading Kontist for one run: how deep each account is read, and what its accounts answered."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.consents.kontist_login import KeptLogin
from pipelines.read.outcome import Answer, BankRun, Outcome
from pipelines.read.spool import SpoolFile
from pipelines.read.windows import KontistWindows
from pipelines.store.known import KnownAccount, known_as
from sources._columns import read_by_source
from sources._errors import ConsentGone, SourceError, is_passing
from sources._identity import tail
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient
from sources.kontist.columns import TRANSACTIONS
from sources.kontist.transactions import read_transactions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass
class Reading:
    """What one run reads of Kontist."""

    run: BankRun
    answers: list[Answer] = field(default_factory=list)


class Reader:
    """Reads all accounts of one login, one after the other, into spools in `work`."""

    def __init__(
        self,
        client: KontistClient,
        windows: KontistWindows,
        connection: "DuckDBPyConnection",
        *,
        work: Path,
        day: Callable[[datetime], date],
        now: Callable[[], datetime],
        kept: KeptLogin | None = None,
        aliases: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _: None,
        waits: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._waits = waits
        self._windows = windows
        self._aliases: Mapping[str, str] = aliases or {}
        self._connection = connection
        self._work = work
        self._today = day(now())
        self._now = now
        self._kept = kept
        self._consent_id = kept.consent.consent_id if kept and kept.consent else None
        self._progress = progress

    def read(self) -> Reading:
        """Read every account. Never raises for one of them: its outcome says what happened."""
        reading = Reading(BankRun("kontist"))
        started_at = self._now()
        self._client.http.pace.waiting = self._wait
        try:
            accounts = self._client.accounts()
        except SourceError as error:
            outcome = Outcome("kontist", started_at, consent_id=self._consent_id, institution="Kontist", account="login")
            reading.run.outcomes.append(outcome)
            self._failed(error, outcome)
        else:
            ids = known_as(self._aliases, (account.account_id for account in accounts))
            accounts = [replace(account, account_id=ids[account.account_id]) for account in accounts]
            if self._kept is not None:
                self._kept.covers(account.account_id for account in accounts)
            for number, account in enumerate(accounts):
                self._read_account(number, account, reading)
        reading.run.requests = self._client.http.requests
        return reading

    def _read_account(self, number: int, account: Account, reading: Reading) -> None:
        label = f"account {tail(account.row.get('iban') or account.source_account_id)}"
        self._progress(f"Kontist: {label}")
        cents = account.row.get("balance_cents")
        outcome = Outcome(
            "kontist",
            self._now(),
            account_id=account.account_id,
            consent_id=self._consent_id,
            institution="Kontist",
            account=label,
            currency="EUR",
            balance=None if cents is None else Decimal(cents).scaleb(-2),
        )
        reading.run.outcomes.append(outcome)
        depth, since = self._windows.plan(account.account_id)
        outcome.depth = depth
        spool = SpoolFile(self._work / f"kontist-{number}.parquet", read_by_source(TRANSACTIONS))
        known = KnownAccount(self._connection.cursor(), account.account_id)
        try:
            read = read_transactions(self._client, account, depth=depth, since=since, known=known, spool=spool)
        except SourceError as error:
            self._failed(error, outcome)
            return
        outcome.requests = read.requests
        answer = Answer(
            outcome=outcome,
            account={"account_id": account.account_id} | dict(account.row),
            spool=spool,
            depth="full" if read.since is None else depth,
            since=read.since,
            as_of=self._today,
            complete=read.complete,
            marks=self._windows.marks(account.account_id, "full" if read.since is None else depth),
        )
        unknown = account.unknown_fields | read.unknown_fields | self._read_orders(account, answer, spool)
        outcome.unknown_fields = tuple(sorted(unknown))
        reading.answers.append(answer)

    def _wait(self, seconds: float) -> None:
        minutes = max(1, math.ceil(seconds / 60))
        self._waits(
            f"Kontist: waiting, we send {self._client.http.pace.per_minute} requests a minute at most"
            f" (sources.kontist.requests_per_minute); about {minutes} minute{'s' if minutes > 1 else ''} to come"
        )

    def _failed(self, error: SourceError, outcome: Outcome) -> None:
        outcome.passing = is_passing(error)
        outcome.end("failed", str(error))
        self._over(error)

    def _over(self, error: SourceError) -> None:
        """A login that the bank refuses for good is expired: nobody tries it again."""
        if isinstance(error, ConsentGone) and self._kept is not None:
            self._kept.over(error.code)

    def _read_orders(self, account: Account, answer: Answer, spool: SpoolFile) -> frozenset[str]:
        """Both lists of orders. A list that cannot be read stays as it was; the account is reported for it."""
        unknown: frozenset[str] = frozenset()
        lists = {"standing_orders": self._client.standing_orders, "timed_orders": self._client.timed_orders}
        for table, ask in lists.items():
            try:
                orders = ask(account)
            except SourceError as error:
                answer.trouble = f"its {table.replace('_', ' ')} could not be read: {error}"
                self._over(error)
                continue
            answer.lists[table] = orders.rows.to_pylist()
            for reason, payload in orders.rejected:
                spool.reject(reason, payload, None)
            unknown |= orders.unknown_fields
        return unknown
