"""Closes months: records what each account's month held, so that a later change by its bank is seen and corrected in the open.

A month is closed for an account after all months before it, when it is over, every day of it was read after its end, and nothing
differs from the bank's balances (`prove`). Raw history keeps the month as it was. The vault's trail keeps a fingerprint of that.
"""

import json
import secrets
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.consents.clock import jumped
from pipelines.consents.closing_trail import ClosingTrail, Event, Record, sha256, standing
from pipelines.errors import Failure, WrongUsage
from pipelines.questions import journal, prove
from pipelines.questions.statements import NAMED, Balances, missing_of
from pipelines.store import closed_months
from pipelines.store.banks import banks_day
from pipelines.store.closed_months import ClosedMonth, entries_sha256, transactions_sha256
from pipelines.store.ledger_reader import account_of, ledger_of
from pipelines.store.sql import Rows, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.settings import Settings

_ACCOUNTS = """
select
    account_id, display_name, currency, ledger_account, balance, gone_at is not null as is_gone,
    min(coverage.day) as first_day, max(coverage.day) as last_day,
    any_value(closed.since) as closed_since, any_value(closed.through) as closed_through
from accounts
left join coverage using (account_id)
left join (
    select account_id, min(month) as since, max(last_day) as through from closings group by all
) as closed using (account_id)
where coalesce(account_id = $account, true)
group by all
order by account_id
"""
_DAYS = """
select day, opening_balance, closing_balance, bank_balance
from balances_daily
where account_id = $account
order by day
"""
_PROVEN = """
select
    count(*) filter (where status = 'seen') as seen_days,
    count(*) filter (where proof in ('chain', 'reported')) as reconciled_days
from coverage
where account_id = $account and day between $first and $last
"""
_TRANSACTIONS = """
select transaction_id, booked_on, amount, currency
from transactions
where account_id = $account and status = 'booked' and booked_on between $first and $last
order by booked_on, transaction_id
"""
_RECLASSIFIED = """
select count(distinct (account_id, kind, entry)) as entries from corrections where cause = 'reclassified'
"""
_CHANGED = "select account_id, month, changed_transactions from closings where changed_transactions > 0"


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account, as far as closing a month asks about it."""

    account_id: str
    display_name: str
    currency: str | None
    ledger_account: str
    balance: Decimal | None
    is_gone: bool
    first_day: date | None
    """The first day of which the ledger knows; None where it knows none."""
    last_day: date | None
    closed_since: date | None
    closed_through: date | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """An account's month, as the bank shows it at this moment."""

    transactions: int
    money_in: Decimal
    money_out: Decimal
    opening_balance: Decimal | None
    closing_balance: Decimal | None
    transactions_sha256: str
    bank_balance_on: date | None
    bank_balance: Decimal | None


@dataclass(frozen=True)
class NewClosing:
    """A month that is about to be closed, with the rows that raw history keeps of it."""

    month: ClosedMonth
    account: Account
    missing: tuple[str, ...]
    """Why it is incomplete, as sentences."""
    transactions: Rows
    legs: Rows


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The result of closing or reopening."""

    months: list[ClosedMonth]
    already: list[ClosedMonth] = field(default_factory=list)
    """Of the month that was asked for: those that were closed before."""
    records: list[Record] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """The display name of each account, by its id."""
    notes: list[str] = field(default_factory=list)


def close(
    settings: "Settings", month: date, account: str | None, *, allow_incomplete: bool, now: Callable[[], datetime]
) -> Closed:
    """Closes a month, and the months before it that are open, of all accounts or one. The caller holds the data directory.

    Raises `WrongUsage` for a month that is not over or an unknown account, `Failure` where a month is not complete.
    """
    from pipelines.consents.clients import vault_of
    from pipelines.store.raw_copy import opened

    refuse_unfinished(month, now)
    _build_if_older(settings)
    with vault_of(settings) as vault:
        with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
            accounts = accounts_of(connection, account)
            notes: list[str] = []
            planned = [
                one for account in accounts for one in planned_closings(connection, account, month, vault.who, now(), notes)
            ]
        if not allow_incomplete:
            _refuse_incomplete(planned)
        with opened(settings.data_dir, memory=settings.memory_limit) as (history, publish):
            raw = history.connection
            closed_months.create_tables(raw)
            before = closed_months.closed_months(raw)
            trail = ClosingTrail(vault.database, history.identity.history_id)
            known = trail.records()
            forgotten = _not_in_the_trail(before, known)
            notes += _closed_otherwise(planned, known)
            for one in planned:
                closed_months.keep(raw, one.month, one.transactions, one.legs)
            if planned:
                publish()
        new = [one.month for one in planned]
        # After raw history: a month that is closed and not in the trail is added to it by the same command.
        records = trail.append([_event("closed", one, one.closed_at, one.closed_by) for one in (*forgotten, *new)])
        vault.belongs_to(history.identity.history_id, now())
    if new:
        _build(settings)
    asked = {one.account_id for one in accounts}
    already = [one for one in before if one.month == month and one.account_id in asked]
    if forgotten:
        notes.append(f"{len(forgotten)} closed months were not in the trail yet, since an earlier command was stopped: added")
    if jump := jumped(settings.data_dir, now()):
        notes.append(f"{jump}: the trail has the time that this machine shows")
    return Closed(months=new, already=already, records=records, names=_names(accounts), notes=notes)


def reopen(settings: "Settings", month: date, account: str | None, reason: str, now: Callable[[], datetime]) -> Closed:
    """Reopens a month and the closed months after it, of all accounts or one. The caller holds the data directory.

    Raises `WrongUsage` where the month is not closed.
    """
    from pipelines.consents.clients import vault_of
    from pipelines.store.raw_copy import opened

    _build_if_older(settings)
    with vault_of(settings) as vault:
        with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
            accounts = accounts_of(connection, account)
        asked = {one.account_id for one in accounts}
        with opened(settings.data_dir, memory=settings.memory_limit) as (history, publish):
            closed = [one for one in closed_months.closed_months(history.connection) if one.account_id in asked]
            of_month = {one.account_id for one in closed if one.month == month}
            months = [one for one in closed if one.account_id in of_month and one.month >= month]
            if not months:
                raise WrongUsage(f"{month:%Y-%m} is not closed", "`python -m pipelines close --list` lists the closed months")
            trail = ClosingTrail(vault.database, history.identity.history_id)
            known = standing(trail.records())
            # Before raw history: the reason stands, and the same command finishes what was stopped.
            events = [_event("reopened", one, now(), vault.who, reason) for one in months if (one.account_id, one.name) in known]
            records = trail.append(events)
            closed_months.remove(history.connection, months)
            publish()
    _build(settings)
    return Closed(months=months, records=records, names=_names(accounts))


def refuse_unfinished(month: date, now: Callable[[], datetime]) -> None:
    """Raises `WrongUsage` for a month that is not over at the banks."""
    today = banks_day(now())
    if last_day_of(month) >= today:
        raise WrongUsage(f"{month:%Y-%m} is not over: today is {today} at the banks", "Close an earlier month")


def last_day_of(month: date) -> date:
    """Returns the last day of a month."""
    return month.replace(day=monthrange(month.year, month.month)[1])


def accounts_of(connection: "DuckDBPyConnection", account: str | None) -> list[Account]:
    """Returns the accounts that a person means: all, or the one with this id or end of IBAN. Raises `WrongUsage`."""
    chosen = account_of(connection, account)["account_id"] if account else None
    return [Account(**row) for row in rows_of(connection, _ACCOUNTS, {"account": chosen})]


def changed_since(connection: "DuckDBPyConnection") -> dict[tuple[str, date], int]:
    """Returns the number of transactions that differ from a closed month, by account and month."""
    return {(row["account_id"], row["month"]): row["changed_transactions"] for row in rows_of(connection, _CHANGED)}


def reclassified(connection: "DuckDBPyConnection") -> int:
    """Returns the number of entries of closed months whose amounts are on other accounts now. No bank has changed them."""
    (found,) = rows_of(connection, _RECLASSIFIED)
    return int(found["entries"])


def figures_of(connection: "DuckDBPyConnection", account: Account, first: date, last: date) -> Figures:
    """Returns an account's days as the bank shows them at this moment."""
    given = {"account": account.account_id, "first": first, "last": last}
    return _figures(account, rows_of(connection, _TRANSACTIONS, given), _days(connection, account), first, last)


def planned_closings(
    connection: "DuckDBPyConnection", account: Account, month: date, who: str, now: datetime, notes: list[str]
) -> list[NewClosing]:
    """Returns the months of an account through this one that are not closed, oldest first."""
    if account.first_day is None or account.last_day is None:
        notes.append(f"{account.display_name} has no day that is known")
        return []
    start = account.closed_through + timedelta(days=1) if account.closed_through else account.first_day
    end = last_day_of(month)
    if account.closed_through is None and start > end:
        notes.append(f"{account.display_name} has no day before {start}")
    elif account.closed_since is not None and month < account.closed_since:
        notes.append(f"{account.display_name} has closed months from {account.closed_since:%Y-%m} on: `reopen` that one first")
    if start > end:
        return []
    until = min(end, account.last_day) if account.is_gone else end  # the bank shows no later day of it
    certificate = prove.certificate(connection, account.account_id, start, until) if start <= until else None
    legs = _legs(connection, account.account_id, end)
    days = _days(connection, account)
    found: list[NewClosing] = []
    while start <= end:
        last = last_day_of(start)
        given = {"account": account.account_id, "first": start, "last": last}
        transactions = rows_of(connection, _TRANSACTIONS, given)
        missing = missing_of(certificate, start, min(last, until)) if certificate else ()
        # An account opens on the day before its first one, which may be in the month before
        own = [one for one in legs if one["booked_on"] <= last and (not found or one["booked_on"] >= start)]
        (proven,) = rows_of(connection, _PROVEN, given)
        closed = ClosedMonth(
            account_id=account.account_id,
            month=start.replace(day=1),
            closed_at=now,
            closed_by=who,
            first_day=start,
            last_day=last,
            currency=account.currency,
            **vars(_figures(account, transactions, days, start, last)),
            entries=len({(one["kind"], one["entry"], one["is_correction"]) for one in own}),
            entries_sha256=entries_sha256(own),
            ledger_account=account.ledger_account,
            days=(last - start).days + 1,
            **proven,
            complete=not missing,
            salt=secrets.token_hex(16),
        )
        found.append(NewClosing(closed, account, missing, transactions, own))
        start = last + timedelta(days=1)
    return found


def _figures(account: Account, transactions: Rows, days: Rows, first: date, last: date) -> Figures:
    own = [one["amount"] for one in transactions if one["currency"] == account.currency]
    nothing = Decimal("0.00")
    known = bool(days or account.balance is not None) and all(one["closing_balance"] is not None for one in days)
    balances = Balances(days, account.balance or nothing) if known else None
    said = [one for one in days if one["bank_balance"] is not None and first <= one["day"] <= last]
    return Figures(
        transactions=len(transactions),
        money_in=sum((amount for amount in own if amount > 0), nothing),
        money_out=sum((amount for amount in own if amount < 0), nothing),
        opening_balance=balances.before(first) if balances else None,
        closing_balance=balances.after(last) if balances else None,
        transactions_sha256=transactions_sha256(transactions),
        bank_balance_on=said[-1]["day"] if said else None,
        bank_balance=said[-1]["bank_balance"] if said else None,
    )


def _days(connection: "DuckDBPyConnection", account: Account) -> Rows:
    return rows_of(connection, _DAYS, {"account": account.account_id})


def _legs(connection: "DuckDBPyConnection", account_id: str, until: date) -> Rows:
    """Returns the legs of the open entries of an account through a day, as raw history keeps them."""
    rows: Rows = []
    for entry in journal.open_entries(connection, account_id, until):
        origin = entry.origin
        if origin is None:
            continue
        for number, (ledger_account, money) in enumerate(entry.legs, start=1):
            rows.append(
                {
                    "kind": origin.kind,
                    "entry": origin.entry,
                    "leg": number,
                    "booked_on": entry.day,
                    "movement_on": origin.movement_on,
                    "is_correction": origin.is_correction,
                    "payee": entry.payee,
                    "narration": entry.narration,
                    "transfer_id": entry.transfer_id,
                    "decided_by": entry.about.get("decided_by"),
                    "reversal_of": entry.about.get("reversal_of"),
                    "ledger_account": ledger_account,
                    "is_bank": number <= origin.bank_legs,
                    "amount": money.amount,
                    "currency": money.currency,
                }
            )
    return rows


def _refuse_incomplete(planned: Sequence[NewClosing]) -> None:
    incomplete = [one for one in planned if one.missing]
    if not incomplete:
        return
    firsts = list({one.account.account_id: one for one in reversed(incomplete)}.values())[::-1]  # the first month of each account
    named = [f"{one.account.display_name}, {one.month.name} ({'; '.join(one.missing)})" for one in firsts[:NAMED]]
    named += [f"and {more} more months"] if (more := len(incomplete) - len(named)) else []
    raise Failure(
        f"No month was closed. Not complete: {', '.join(named)}",
        "`prove` says what to do about each. --account closes one account alone. To close these as they"
        " are, add --allow-incomplete: the trail records it",
    )


def _not_in_the_trail(months: Iterable[ClosedMonth], records: Sequence[Record]) -> list[ClosedMonth]:
    """Returns the months that a stopped command has closed. One that the trail holds with other figures was altered."""
    known, standing_now = {one.figures_sha256 for one in records}, standing(records)
    return [one for one in months if sha256(one.figures) not in known and (one.account_id, one.name) not in standing_now]


def _closed_otherwise(planned: Iterable[NewClosing], records: Sequence[Record]) -> list[str]:
    """Returns a sentence for each month that the trail holds as closed with other transactions: after a restore of a backup."""
    known = standing(records)
    found = []
    for one in planned:
        record = known.get((one.month.account_id, one.month.name))
        if record and record.figures and json.loads(record.figures)["transactions_sha256"] != one.month.transactions_sha256:
            found.append(
                f"{one.month.name} of {one.account.display_name} was closed with other transactions by record {record.number},"
                " and a later one holds what it has now"
            )
    return found


def _event(what: Any, month: ClosedMonth, at: datetime, who: str, reason: str = "") -> Event:
    return Event(what=what, month=month.name, account_id=month.account_id, figures=month.figures, at=at, who=who, reason=reason)


def _names(accounts: Iterable[Account]) -> dict[str, str]:
    return {one.account_id: one.display_name for one in accounts}


def _build_if_older(settings: "Settings") -> None:
    """Builds the ledger where a new one may differ: a month is closed as raw history, seeds and program have it now."""
    from pipelines.store.ledger import is_older

    with ledger_of(settings.data_dir, with_raw=True, memory=settings.memory_limit) as connection:
        kept = {(one.account_id, one.month) for one in closed_months.closed_months(connection, "raw")}
        shown = {(row["account_id"], row["month"]) for row in rows_of(connection, "select account_id, month from closings")}
        (about,) = rows_of(connection, "select version from about")
    if kept != shown or is_older(settings.data_dir, about["version"]):
        _build(settings)


def _build(settings: "Settings") -> None:
    from pipelines.report_page.page_options import wanted_page
    from pipelines.store.ledger import build_and_publish

    build_and_publish(settings.data_dir, memory=settings.memory_limit, keep_unchanged=True, page=wanted_page(settings))
