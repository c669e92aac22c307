"""What is wrong, in sentences for the top of the page, the most urgent first."""

from collections.abc import Iterator, Sequence

from pipelines.report_page import wording
from pipelines.report_page.flows import Payment
from pipelines.report_page.reconciliation import Transit
from pipelines.report_page.scope import Scope
from pipelines.report_page.upkeep import Consent, Problem, Refused

MOST = 30
"""Sentences; a page with more of them is read by nobody."""
_HOW = {
    "failed": "could not be read",
    "partial": "was read only in part",
    "doubted": "shows removed or changed rows, which are held for confirmation",
    "complete": "was read, with a remark",
}


def findings(
    scope: Scope,
    problems: Sequence[Problem],
    consents: Sequence[Consent],
    transit: Sequence[Transit],
    payments: Sequence[Payment],
    refused: Sequence[Refused],
) -> list[str]:
    """Returns what a person has to know before the numbers."""
    found = [
        *_about_reads(scope, problems),
        *_about_days(scope),
        *_about_consents(consents),
        *_about_money(transit, payments, refused),
    ]
    if len(found) > MOST:
        found = [*found[:MOST], f"{wording.count(len(found) - MOST, 'further finding')}: see the sections below"]
    return found


def _about_reads(scope: Scope, problems: Sequence[Problem]) -> Iterator[str]:
    for one in problems:
        name = scope.labels.get(one.account_id or "", "One account")
        reason = f": {wording.text(one.reason)}" if one.reason else ""
        yield f"{name} {_HOW.get(one.status, one.status)}{reason}"


def _about_days(scope: Scope) -> Iterator[str]:
    for account in scope.accounts:
        if account.differs:
            yield f"{account.label}: {wording.count(account.differs, 'day')} on which the bank’s balances and the ledger differ"
        if account.gap:
            yield f"{account.label}: {wording.count(account.gap, 'day')} that no import covers"
        if account.last_imported_at is None:
            yield f"{account.label} was never read"


def _about_consents(consents: Sequence[Consent]) -> Iterator[str]:
    for one in consents:
        if one.ends_soon:
            yield f"Consent {one.consent_id} ({one.institution}) ends in {wording.count(one.days_left or 0, 'day')}"
        elif one.status == "expired":
            yield f"Consent {one.consent_id} ({one.institution}) has ended: its accounts are read no more"


def _about_money(transit: Sequence[Transit], payments: Sequence[Payment], refused: Sequence[Refused]) -> Iterator[str]:
    if rows := sum(one.rows for one in refused):
        yield f"{wording.count(rows, 'row')} of a bank could not be understood and {'is' if rows == 1 else 'are'} left out"
    if overdue := sum(one.overdue for one in transit):
        yield f"{wording.count(overdue, 'own transfer')} {'is' if overdue == 1 else 'are'} under way for more than ten days"
    if late := sum(one.status == "late" for one in payments):
        yield f"{wording.count(late, 'expected payment')} {'is' if late == 1 else 'are'} late"
