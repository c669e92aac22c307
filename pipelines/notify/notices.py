"""Finds and words the notices, of each kind.

    consent.expiring   a consent ends in 30, 14, 7 or 1 days; once each
    consent.expired    its time is over, or the bank says that it is gone
    consent.revoked    the bank has confirmed its end, and no renewal was the reason
    check.failed       a new ledger was refused; sent again only after a good ledger in between
    account.stale      an account that should be read has not been for too long; likewise
    account.held       removed or changed rows of an account are held for confirmation; likewise
    account.differs    the bank's balances contradict the movements of an account; likewise
    month.changed      a bank has changed transactions of a closed month
    hole               a gap in coverage: days that no import will ever show
    digest             the new notices of a fleet's cells, in one
    test               nothing: somebody tries the settings

A notice names banks, consents and accounts by their ids: never an amount, a person, an account number in full or a token.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipelines.run.closed_changes import by_month, ids
from pipelines.run.freshness import name_of, overdue
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from pipelines.consents.expiring import Expiring
    from pipelines.consents.vault import AuditEntry, Consent, Vault
    from pipelines.run.accounts import Account
    from pipelines.run.closed_changes import ClosedChange
    from pipelines.run.report import Report

Kind = Literal[
    "consent.expiring",
    "consent.expired",
    "consent.revoked",
    "check.failed",
    "account.stale",
    "account.held",
    "account.differs",
    "month.changed",
    "hole",
    "digest",
    "test",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
LASTING: tuple[Kind, ...] = ("consent.expiring", "check.failed", "account.stale", "account.held", "account.differs")
"""Troubles that end: sent once while they last, and again when they return. The others happen once."""
NEWS = timedelta(days=7)
"""What is over for longer is not sent any more: it was sent before, or no channel was configured then."""


@dataclass(frozen=True)
class Notice:
    """One event to notify of. Two notices with the same `key` are the same one."""

    kind: Kind
    key: str
    subject: str
    text: str
    payload: dict[str, str | int | None] = field(default_factory=dict)

    @property
    def event(self) -> str:
        """Returns its name for machines."""
        return f"kontoledger.{self.kind}"


def about_consents(vault: "Vault", now: datetime, *, configured: Container[str] = ()) -> list[Notice]:
    """Returns notices of consents that end soon or ended in the last days; the audit trail says when and why.

    A sign-in that was never finished never was a consent, and its end is no news.
    Sources that are `configured` are read without a consent: that one of theirs expired stops nothing.
    """
    from pipelines.consents.expiring import expiring

    notices = [_expiring(one) for one in expiring(vault, now)]
    read = vault.accounts_in_use()
    known = {consent.consent_id: consent for consent in vault.consents()}
    trail = vault.trail()
    unfinished = {entry.consent_id for entry in trail if entry.what == "pending to expired"}
    for entry in trail:
        after = entry.what.partition(" to ")[2]
        over = known.get(entry.consent_id)
        if over is None or over.consent_id in unfinished or entry.at < now - NEWS:
            continue
        if after == "revoked" and not _renewed(vault, over, trail, known.values()):
            notices.append(_revoked(over, entry))
        elif after == "expired" and over.source not in configured and not _read_otherwise(vault, over, read):
            notices.append(_expired(over, entry))
    return notices


def _renewed(vault: "Vault", over: "Consent", trail: Iterable["AuditEntry"], known: Iterable["Consent"]) -> bool:
    """Returns whether a newer consent replaced it: it ended as replaced, or expired and the newer one reads all its accounts."""
    if any(entry.consent_id == over.consent_id and entry.what.endswith(" to replaced") for entry in trail):
        return True
    accounts = set(vault.accounts_of(over.consent_id))
    newer = [one.consent_id for one in known if one.replaces == over.consent_id]
    return bool(accounts) and any(accounts <= set(vault.accounts_of(consent_id)) for consent_id in newer)


def _read_otherwise(vault: "Vault", over: "Consent", read: set[str]) -> bool:
    """Returns whether other consents read all of its accounts."""
    accounts = set(vault.accounts_of(over.consent_id))
    return bool(accounts) and accounts <= read


def about_checks(report: "Report") -> list[Notice] | None:
    """Returns the checks that the new ledger failed; None when no ledger was built, so that nothing is known."""
    if report.published is None and report.refused is None:
        return None
    return [
        Notice(
            "check.failed",
            check.name,
            f"The ledger was not published: check {check.name} failed",
            f"{check.failed_rows} rows fail the check {check.name}: {check.meaning}\n"
            "The ledger published before stays as it was. See `python -m pipelines check` and docs/runbook.md.",
            {"check": check.name, "failed_rows": check.failed_rows, "meaning": check.meaning, "run_id": report.run_id},
        )
        for check in report.checks
        if not check.passed
    ]


def about_gaps(gaps: Iterable[Mapping[str, Any]]) -> list[Notice]:
    """Returns notices of days that were missed for good."""
    return [
        Notice(
            "hole",
            f"{gap['account_id']} {gap['from_on']}",
            f"Days of an account were missed: {gap['from_on']} to {gap['to_on']}",
            f"{gap['account_id']}: {gap['from_on']} to {gap['to_on']} was never read, and a reused consent cannot show it any"
            " more.\nA fresh sign-in reaches further back: `python -m pipelines consents renew ID` closes it if the bank still"
            " shows those days.",
            {"account_id": str(gap["account_id"]), "from_on": str(gap["from_on"]), "to_on": str(gap["to_on"])},
        )
        for gap in gaps
    ]


def about_closed_months(changes: Iterable["ClosedChange"]) -> list[Notice]:
    """Returns notices of what banks have changed in closed months, one a month of an account."""
    notices = []
    for account_id, month, found in by_month(changes):
        state = sha256("".join(one.state for one in found).encode()).hexdigest()[:16]
        notices.append(
            Notice(
                "month.changed",
                f"{account_id} {month:%Y-%m} {state}",
                f"A bank has changed the closed month {month:%Y-%m}",
                f"{account_id}, {month:%Y-%m}: {ids(found)}.\nJournals correct it in the open month. Both views:"
                f" `python -m pipelines close --list` and `prove` with the days of the month.",
                {"account_id": account_id, "month": f"{month:%Y-%m}", "transactions": len(found)},
            )
        )
    return notices


def about_stale(accounts: Iterable["Account"], expected: set[str], hours: int, now: datetime) -> list[Notice]:
    """Returns notices of accounts that are `expected` to be read and were not, in full, for `hours`."""
    notices = []
    for account, waited in overdue(accounts, expected, hours, now):
        last, name = account["last_imported_at"], name_of(account)
        notices.append(
            Notice(
                "account.stale",
                account["account_id"],
                f"An account was not read for {waited} hours: {name}",
                f"{name} ({account['account_id']}) was last read in full at {last}.\n"
                "`python -m pipelines status` and the last run say why.",
                {
                    "account_id": account["account_id"],
                    "institution": account["institution"],
                    "last_imported_at": last,
                    "hours": waited,
                },
            )
        )
    return notices


def about_held(accounts: Iterable["Account"]) -> list[Notice]:
    """Returns notices of accounts with rows that are held for confirmation."""
    return [
        Notice(
            "account.held",
            account["account_id"],
            f"Rows of an account are held for confirmation: {name_of(account)}",
            f"Since {account['held_since']} the bank removes or changes more rows of {account['account_id']} than are accepted at"
            f" once; the known ones stay.\nLook at the bank. If it is right:"
            f" `python -m pipelines run --accept-removals {account['account_id']}`.",
            {name: account[name] for name in ("account_id", "institution", "held_since")},
        )
        for account in accounts
        if account["held_since"]
    ]


def about_differences(accounts: Iterable["Account"]) -> list[Notice]:
    """Returns notices of accounts whose balances at the bank contradict the movements of the ledger."""
    return [
        Notice(
            "account.differs",
            account["account_id"],
            f"The bank's balances contradict the ledger: {name_of(account)}",
            f"{account['account_id']}: from {account['differs_from']} to {account['differs_until']} the bank moved more or less"
            " than the ledger holds. The next runs read all that it still shows.\n"
            f"Day and amount: `python -m pipelines prove {account['account_id']}"
            f" --from {account['differs_from']} --to {account['differs_until']}`.",
            {
                "account_id": account["account_id"],
                "institution": account["institution"],
                "from_on": account["differs_from"],
                "to_on": account["differs_until"],
            },
        )
        for account in accounts
        if account["differs_from"]
    ]


def _expiring(one: "Expiring") -> Notice:
    consent, urgency, command = one.consent, one.urgency, one.renewal
    ends = consent.expires_at.isoformat(timespec="seconds") if consent.expires_at else None
    return Notice(
        "consent.expiring",
        f"{consent.consent_id} {one.step}",
        f"The consent for {line(consent.institution)} {urgency}",
        f"Consent {consent.consent_id} ({line(consent.institution)}) {urgency}. To renew it: `{command}`\n"
        "The customer signs in once at the bank; the old consent works until the new one does.",
        {
            "consent_id": consent.consent_id,
            "institution": consent.institution,
            "days_left": one.days_left,
            "step": one.step,
            "expires_at": ends,
            "renew": command,
        },
    )


def _expired(consent: "Consent", entry: "AuditEntry") -> Notice:
    return _over(
        "consent.expired",
        consent,
        entry,
        "has expired",
        f"Its accounts are not read any more. To go on: `python -m pipelines consents renew {consent.consent_id}`",
    )


def _revoked(consent: "Consent", entry: "AuditEntry") -> Notice:
    then = "Its accounts are not read through it any more; what it brought stays until it is erased."
    return _over("consent.revoked", consent, entry, "is revoked", then)


def _over(kind: Kind, consent: "Consent", entry: "AuditEntry", what: str, then: str) -> Notice:
    return Notice(
        kind,
        consent.consent_id,
        f"The consent for {line(consent.institution)} {what}",
        f"Consent {consent.consent_id} ({line(consent.institution)}) {what}: {line(entry.outcome)}.\n{then}",
        {
            "consent_id": consent.consent_id,
            "institution": consent.institution,
            "at": entry.at.isoformat(timespec="seconds"),
            "reason": entry.outcome,
        },
    )
