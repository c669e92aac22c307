"""Reads Kontist for one run: all accounts of one login, each as deep as its plan says."""

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from pipelines.consents.kontist_login import BankClient, KeptLogin
from pipelines.read.context import RunContext
from pipelines.read.outcome import Answer, BankRun, Outcome, Reading, login_outcome
from pipelines.read.windows import KontistPlan
from pipelines.store.banks import KONTIST
from pipelines.store.known import KnownAccount, known_as
from pipelines.store.unfinished import UnfinishedRead
from sources._columns import read_by_source
from sources._errors import ConsentGone, SourceError, is_retryable
from sources._identity import tail
from sources._protocols import Reading as ReadAccount
from sources._spool import SpoolFile
from sources.kontist.accounts import Account
from sources.kontist.columns import TRANSACTIONS
from sources.kontist.cursor_reading import Wanted, read_by_cursor
from sources.kontist.prefetch import Prefetch
from sources.kontist.queries import public_id
from sources.kontist.query_client import QueryClient
from sources.kontist.transactions import read_transactions
from sources.kontist.unasked import NOTHING, Unasked, unasked_columns


class Reader:
    """Reads all accounts of one login, one after the other, into spools of the run's own folder."""

    def __init__(self, context: RunContext, plan: KontistPlan, client: BankClient, kept: KeptLogin | None = None) -> None:
        self._context = context
        self._plan = plan
        self._client = client
        self._kept = kept
        self._label = self._so_far = ""
        self._prefetch = partial(Prefetch, most=context.settings.kontist.pages_in_flight)
        self._consent_id = kept.consent.consent_id if kept and kept.consent else None

    def read(self) -> Reading:
        """Reads every account. Never raises for one of them: its outcome says what happened."""
        reading = Reading(BankRun(KONTIST.name))
        started_at = self._context.now()
        self._client.http.pace.waiting = self._show_wait
        self._client.on_rows = self._show_rows
        try:
            accounts = self._client.accounts()
        except SourceError as error:
            outcome = login_outcome(KONTIST, started_at, self._consent_id)
            reading.run.outcomes.append(outcome)
            self._end_failed(error, outcome)
        else:
            ids = known_as(self._plan.aliases, (account.account_id for account in accounts))
            accounts = [replace(account, account_id=ids[account.account_id]) for account in accounts]
            if isinstance(self._client, QueryClient) and not self._client.lists_further_accounts:
                self._report_unlisted(set(ids.values()), reading)
            else:
                reading.whole_lists.add(None)
            if self._kept is not None:
                self._kept.covers(account.account_id for account in accounts)
            for number, account in enumerate(accounts):
                self._read_account(number, account, reading)
        reading.run.requests = self._client.http.requests
        return reading

    def _report_unlisted(self, listed: set[str], reading: Reading) -> None:
        """Adds a failed outcome for each known account that the bank may still have: it does not list further accounts."""
        known = self._context.history.connection.execute(
            "select account_id, coalesce(iban, source_account_id) from kontist.accounts where _dlt_valid_to is null order by all"
        ).fetchall()
        for account_id, number in known:
            if account_id not in listed:
                outcome = Outcome(
                    KONTIST.name,
                    self._context.now(),
                    account_id=account_id,
                    consent_id=self._consent_id,
                    institution=KONTIST.title,
                    account=f"account {tail(number)}",
                )
                outcome.end(
                    "failed", "the bank does not know the question for further accounts any more: its data stays as it is"
                )
                reading.run.outcomes.append(outcome)

    def _read_account(self, number: int, account: Account, reading: Reading) -> None:
        label = f"account {tail(account.row.get('iban') or account.source_account_id)}"
        self._context.progress.stage(f"{KONTIST.title}: {label}")
        self._label, self._so_far = label, ""
        outcome = Outcome(
            KONTIST.name,
            self._context.now(),
            account_id=account.account_id,
            consent_id=self._consent_id,
            institution=KONTIST.title,
            account=label,
            currency="EUR",
            balance=_balance(account),
        )
        reading.run.outcomes.append(outcome)
        history = self._context.history
        depth, since = self._plan.window(account.account_id)
        outcome.depth = depth
        spool = SpoolFile(history.work / f"kontist-{number}.parquet", read_by_source(TRANSACTIONS))
        keeper = self._keeper(account.account_id)
        if depth != "full" or self._plan.full:  # a person asks for all that the bank shows now
            keeper.forget()
        known = KnownAccount(
            history.connection.cursor(), KONTIST, account.account_id, lambda: self._unasked(account).get("transactions", NOTHING)
        )
        try:
            read = self._read_transactions(account, Wanted(depth, since, known), spool, keeper)
        except SourceError as error:
            self._end_failed(error, outcome)
            return
        outcome.requests = read.requests
        if read.account is not None:
            account = replace(account, row=read.account)
            outcome.balance = _balance(account)
        depth = "full" if read.since is None else depth
        answer = Answer(
            outcome=outcome,
            account={"account_id": account.account_id} | dict(account.row),
            spool=spool,
            depth=depth,
            since=read.since,
            as_of=self._plan.today,
            complete=read.complete,
            marks=self._plan.marks(account.account_id, depth),
        )
        unknown = account.unknown_fields | read.unknown_fields | self._read_orders(account, answer, spool)
        outcome.unknown_fields = tuple(sorted(unknown))
        answer.unasked = self._unasked(account)
        reading.answers.append(answer)

    def _read_transactions(self, account: Account, wanted: Wanted, spool: SpoolFile, keeper: UnfinishedRead) -> ReadAccount:
        """Reads an account's transactions in the dialect of the client."""
        if isinstance(self._client, QueryClient):
            return read_by_cursor(self._client, account, wanted, spool, keeper)
        return read_transactions(
            self._client,
            account,
            depth=wanted.depth,
            since=wanted.since,
            known=wanted.known,
            spool=spool,
            prefetch=self._prefetch,
            keeper=keeper,
        )

    def _unasked(self, account: Account) -> Mapping[str, Unasked]:
        """Returns by table the columns that were not asked for, as the bank has refused their fields."""
        if not isinstance(self._client, QueryClient):
            return {}
        further = public_id(account.source_account_id) is not None
        return unasked_columns(self._client.fields.refused, further=further)

    def _keeper(self, account_id: str) -> UnfinishedRead:
        """Returns where a long read of this account is stored, in case it is interrupted."""
        return UnfinishedRead(self._context.settings.data_dir, account_id, self._plan.basis(account_id), self._context.now())

    def _show_rows(self, pages: int, rows: int, total: int | None) -> None:
        """Shows how far the read of an account has come."""
        if pages > 1:
            self._so_far = f", {pages} pages and {rows} rows read"
            self._context.progress.step(f"{KONTIST.title}: {self._label}{self._so_far}", rows, max(rows, total or 0))

    def _show_wait(self, seconds: float) -> None:
        minutes = max(1, math.ceil(seconds / 60))
        self._context.progress.waits(
            f"Kontist: waiting, we send {self._client.http.pace.per_minute} requests a minute at most"
            f" (sources.kontist.requests_per_minute); about {minutes} minute{'s' if minutes > 1 else ''} to come"
            f"{self._so_far}"
        )

    def _end_failed(self, error: SourceError, outcome: Outcome) -> None:
        outcome.retryable = is_retryable(error)
        outcome.end("failed", str(error))
        self._expire_login(error)

    def _expire_login(self, error: SourceError) -> None:
        """Expires a login that the bank refuses for good: nobody tries it again."""
        if isinstance(error, ConsentGone) and self._kept is not None:
            self._kept.over(error.code)

    def _read_orders(self, account: Account, answer: Answer, spool: SpoolFile) -> frozenset[str]:
        """Reads both lists of orders, none where nobody wants them; returns unknown fields.

        A list that cannot be read stays as it was, and is reported.
        """
        unknown: frozenset[str] = frozenset()
        if not self._context.settings.kontist.read_orders:
            answer.lists |= {"standing_orders": [], "timed_orders": []}
            return unknown
        lists = {"standing_orders": self._client.standing_orders, "timed_orders": self._client.timed_orders}
        for table, ask in lists.items():
            try:
                orders = ask(account)
            except SourceError as error:
                answer.trouble = f"its {table.replace('_', ' ')} could not be read: {error}"
                self._expire_login(error)
                continue
            answer.lists[table] = orders.rows.to_pylist()
            for reason, payload in orders.rejected:
                spool.reject(reason, payload, None)
            unknown |= orders.unknown_fields
        return unknown


def _balance(account: Account) -> Decimal | None:
    cents = account.row.get("balance_cents")
    return None if cents is None else Decimal(cents).scaleb(-2)
