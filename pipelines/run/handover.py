"""Does what follows the publishing of raw history: imports are recorded as done, and renewed consents take over."""

from collections.abc import Sequence

from pipelines.consents import revocation
from pipelines.consents.clients import kontomatik_client
from pipelines.consents.quota import DONE
from pipelines.consents.upkeep import note_warnings, warnings
from pipelines.consents.vault import Consent, Vault
from pipelines.read.context import RunContext
from pipelines.run.report import Report
from pipelines.store.banks import bank_named, read_without_consent


def hand_over(context: RunContext, vault: Vault, report: Report, attempts: Sequence[tuple[str, str]]) -> None:
    """Records that the answers are safe: they need not be asked for again. Adds warnings about consents to the notes.

    `attempts` are the consents of Kontomatik that were imported through, each with its attempt.
    """
    complete = [one for one in report.outcomes if one.status == "complete"]
    for login in {one.consent_id for one in complete if not bank_named(one.source).by_consent}:
        if login is not None:
            vault.imported(login, context.now())
    for consent_id, attempt_id in attempts:
        vault.quota.end_attempt(attempt_id, DONE, context.now())
        vault.imported(consent_id, context.now())
        consent = vault.consent(consent_id)
        if consent.status == "pending":
            _expire_single(context, vault, consent, report)
        elif consent.replaces and _all_complete(report, consent_id):
            with kontomatik_client(context.settings, context.now) as client:
                trouble = revocation.take_over(vault, client, consent_id, context.now())
            if trouble:
                report.notes.append(trouble)
    note_warnings(vault, context.now())
    report.notes += warnings(vault, context.now(), configured=read_without_consent(context.settings))


def _expire_single(context: RunContext, vault: Vault, consent: Consent, report: Report) -> None:
    """Expires a consent that was imported through once, and for which the bank gave no reusable token."""
    vault.move(consent.consent_id, "expired", "imported once: the bank gave no reusable consent", context.now())
    if consent.access_mode != "SINGLE":
        report.notes.append(
            f"consent {consent.consent_id}: the bank gave no reusable consent ({consent.access_mode} was asked for);"
            " what it showed is imported, and the next import needs a new sign-in"
        )


def _all_complete(report: Report, consent_id: str) -> bool:
    mine = [outcome for outcome in report.outcomes if outcome.consent_id == consent_id]
    return bool(mine) and all(outcome.status in ("complete", "skipped") for outcome in mine)
