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


class Timeline(Struct, frozen=True):
    """All consents between their first day and their last one."""

    spans: Sequence[Span]
    ticks: Sequence[Tick]
    now: str


class RunRow(Struct, frozen=True, kw_only=True):
    """One run."""

    run_id: str
    started_at: datetime
    reading_seconds: int | None
    status: str
    accounts: int
    failed: int
    held: int
    skipped: int
    new_rows: int
    changed_rows: int
    removed_rows: int
    requests: int


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
        select run_id, started_at, reading_seconds, status, accounts, failed, held, skipped, new_rows, changed_rows,
            removed_rows, requests
        from runs order by started_at desc, run_id desc limit $most
        """,
        most=RUNS,
    )


def run_plot(listed: Sequence[RunRow]) -> BarPlot:
    """Returns how many seconds each run read, the oldest first."""
    columns = []
    for run in reversed(listed):
        seconds = Decimal(run.reading_seconds or 0)
        title = f"{wording.moment(run.started_at)}: {wording.count(int(seconds), 'second')}, {run.status}"
        columns.append((wording.short_day(run.started_at), [(run.status, seconds, title)]))
    return bar_plot(columns)


def problems(scope: Scope) -> list[Problem]:
    """Returns what the last run could not read, or holds for confirmation."""
    return scope.records(
        Problem,
        f"""
        select account_id, status, reason
        from imports
        where run_id = (select run_id from runs order by started_at desc, run_id desc limit 1)
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

most as (select consent_id, max(imports) as imports from counted group by consent_id)

select consent_id, institution, access_mode, status, created_at, expires_at, days_left, coalesce(imports, 0) as imports,
    access_mode not in ('LOGIN', 'OAUTH') as by_consent
from consents left join most using (consent_id)
order by status not in ('active', 'expiring'), created_at, consent_id
"""
