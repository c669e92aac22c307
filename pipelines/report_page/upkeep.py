"""Consents and runs: what gives access, what was read, how long it took, and what was refused."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from pipelines.report_page import wording
from pipelines.report_page.plots import LEFT, RIGHT, BarPlot, Tick, bar_plot, day_labels
from pipelines.report_page.scope import LABELS, Scope

RUNS = 20
PROBLEMS = 50
SOON = 14
"""Days before the end of a consent from which on it is named."""
_USABLE = ("active", "expiring")


class Consent(Struct, frozen=True, kw_only=True):
    """One consent, and what was imported under it in the 24 hours before the ledger's last import."""

    consent_id: str
    institution: str | None
    access_mode: str | None
    status: str
    created_at: datetime | None
    expires_at: datetime | None
    days_left: int | None
    imports: int
    """Of the account of which most were made: each account has its own quota."""
    by_consent: bool
    accounts: int
    """Accounts that were imported under it."""

    @property
    def usable(self) -> bool:
        """Returns whether imports are still possible."""
        return self.status in _USABLE

    @property
    def ends_soon(self) -> bool:
        """Returns whether somebody has to sign in again within two weeks."""
        return self.usable and self.days_left is not None and self.days_left <= SOON


class Span(Struct, frozen=True):
    """The line of one consent in the time line."""

    x: str
    width: str
    consent: Consent

    @property
    def is_late(self) -> bool:
        """Returns whether its label ends where it ends: after the middle, where there is no place to the right."""
        return Decimal(self.x) > (LEFT + RIGHT) // 2

    @property
    def label_x(self) -> str:
        """Returns where its label begins, or ends."""
        return str(Decimal(self.x) + Decimal(self.width)) if self.is_late else self.x


class Timeline(Struct, frozen=True):
    """All consents between their first day and their last one."""

    spans: Sequence[Span]
    ticks: Sequence[Tick]
    now: str


PHASES = ("extract", "load", "transform")
"""The phases of a run, in their order."""


class RunRow(Struct, frozen=True, kw_only=True):
    """One run; a value is None where it is not known."""

    run_id: str
    started_at: datetime
    extract_seconds: Decimal | None
    """Of a run that is not on record: the whole seconds of its attempts."""
    load_seconds: Decimal | None
    transform_seconds: Decimal | None
    total_seconds: Decimal | None
    status: str
    accounts: int
    failed: int
    held: int
    skipped: int
    new_rows: int
    changed_rows: int
    removed_rows: int
    quarantined_rows: int | None
    requests: int
    checks_passed: int | None
    checks_failed: int | None
    open_accounts: int | None
    stale_accounts: int | None

    @property
    def phases(self) -> Sequence[tuple[str, Decimal]]:
        """Returns the phases that it came through, with their seconds."""
        known = (self.extract_seconds, self.load_seconds, self.transform_seconds)
        return [(name, seconds) for name, seconds in zip(PHASES, known, strict=True) if seconds is not None]

    @property
    def about_accounts(self) -> str:
        """Returns how many accounts were read, and how many were not for which reason."""
        others = {"failed": self.failed, "held": self.held, "skipped": self.skipped, "stale": self.stale_accounts}
        read = str(self.accounts) if self.open_accounts is None else f"{self.accounts} of {self.open_accounts}"
        return ", ".join([f"{read} read", *(f"{number} {word}" for word, number in others.items() if number)])


class AboutLedger(Struct, frozen=True, kw_only=True):
    """What the ledger says of its own publication."""

    published_at: datetime | None
    run_id: str | None
    version: str
    checks_passed: int


class Problem(Struct, frozen=True, kw_only=True):
    """An account that the last run could not read as it should."""

    account_id: str | None
    status: str
    reason: str | None


class Refused(Struct, frozen=True, kw_only=True):
    """Rows that could not be understood, for one reason."""

    source: str
    reason: str
    rows: int
    last_at: datetime | None


def consents(scope: Scope) -> list[Consent]:
    """Returns every consent, usable ones first."""
    return scope.records(Consent, _CONSENTS)


def timeline(listed: Sequence[Consent], now: datetime | None) -> Timeline | None:
    """Returns the time line of consents; None where there is none with a beginning."""
    dated = [one for one in listed if one.created_at is not None]
    if not dated or now is None:
        return None
    begins = {one.consent_id: one.created_at.date() for one in dated if one.created_at}
    ends = {one.consent_id: max(begins[one.consent_id], (one.expires_at or now + timedelta(days=30)).date()) for one in dated}
    first, last = min(begins.values()), max(*ends.values(), now.date())
    days = max(1, (last - first).days)

    def x(day: date) -> Decimal:
        return (LEFT + Decimal((day - first).days) * (RIGHT - LEFT) / days).quantize(Decimal("0.1"))

    spans = [
        Span(
            str(x(begins[one.consent_id])),
            str(max(Decimal(3), x(ends[one.consent_id]) - x(begins[one.consent_id]))),
            one,
        )
        for one in dated
    ]
    return Timeline(spans, [Tick(str(x(day)), label) for day, label in day_labels(first, last)], str(x(now.date())))


def runs(scope: Scope) -> list[RunRow]:
    """Returns the last runs, the newest first."""
    return scope.records(
        RunRow,
        """
        select run_id, started_at, coalesce(extract_seconds, reading_seconds) as extract_seconds, load_seconds,
            transform_seconds, total_seconds, status, accounts, failed, held, skipped, new_rows, changed_rows, removed_rows,
            quarantined_rows, requests, checks_passed, checks_failed, open_accounts, stale_accounts
        from runs order by started_at desc, run_id desc limit $most
        """,
        most=RUNS,
    )


def run_plot(listed: Sequence[RunRow]) -> BarPlot:
    """Returns how many seconds each phase of each run took, the oldest run first.

    Every bar begins at zero: the one of all phases is drawn first, and those of the earlier phases cover it.
    """
    columns = []
    for run in reversed(listed):
        until, bars = Decimal(0), []
        for phase, seconds in run.phases:
            until += seconds
            title = f"{wording.moment(run.started_at)}, {run.status}: {phase} {wording.seconds(seconds)}"
            bars.append((phase if run.status == "ok" else f"{phase} troubled", until, title))
        columns.append((wording.short_day(run.started_at), bars[::-1]))
    return bar_plot(columns)


def about_ledger(scope: Scope) -> AboutLedger:
    """Returns when, by which run and by which version the ledger was published."""
    (found,) = scope.records(AboutLedger, "select published_at, run_id, version, checks_passed from about")
    return found


def problems(scope: Scope) -> list[Problem]:
    """Returns what the last run could not read, or holds for confirmation."""
    return scope.records(
        Problem,
        f"""
        select account_id, status, reason
        from imports
        where run_id = (select run_id from imports order by started_at desc, run_id desc limit 1)
            and (status in ('failed', 'partial', 'doubted') or (status = 'complete' and reason is not null))
            and (account_id is null or account_id in (select account_id from {LABELS}))
        order by account_id, import_id limit $most
        """,
        most=PROBLEMS,
    )


def refused_rows(scope: Scope) -> list[Refused]:
    """Returns the reasons for which rows are in quarantine, the most frequent first."""
    return scope.records(
        Refused,
        f"""
        select source, reason, count(*) as rows, max(first_seen_at) as last_at
        from quarantine
        where account_id is null or account_id in (select account_id from {LABELS})
        group by source, reason order by rows desc, source, reason limit $most
        """,
        most=PROBLEMS,
    )


def published_at(scope: Scope) -> datetime | None:
    """Returns the moment up to which the banks were asked: the end of the last import."""
    found: tuple[Any, ...] = scope.row("select max(coalesce(finished_at, started_at)) from imports")
    moment: datetime | None = found[0]
    return moment


_CONSENTS = """
with

last as (select max(coalesce(finished_at, started_at)) as at from imports),

counted as (
    select consent_id, account_id, count(*) as imports
    from imports cross join last
    where status <> 'skipped' and started_at > last.at - interval 24 hours and consent_id is not null
    group by consent_id, account_id
),

most as (select consent_id, max(imports) as imports from counted group by consent_id),

covered as (select consent_id, count(distinct account_id) as accounts from imports group by consent_id)

select consent_id, institution, access_mode, status, created_at, expires_at, days_left, coalesce(imports, 0) as imports,
    access_mode not in ('LOGIN', 'OAUTH') as by_consent, coalesce(accounts, 0) as accounts
from consents left join most using (consent_id) left join covered using (consent_id)
order by status not in ('active', 'expiring'), created_at, consent_id
"""
