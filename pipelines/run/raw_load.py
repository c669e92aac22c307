"""Loads what one run read into its copy of raw history: a changeset a bank, and the accounts' names for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.changes.account_identity import AccountIdentity
from pipelines.changes.changeset import ChangesetBuilder
from pipelines.consents.states import USABLE
from pipelines.errors import WrongUsage
from pipelines.read.bank_reader import States
from pipelines.read.context import RunContext
from pipelines.read.outcome import Reading
from pipelines.run.account_joins import join_connected, sentences
from pipelines.run.report import Report
from pipelines.store import load as loading
from pipelines.store.banks import BANKS, Bank
from pipelines.store.files import covers
from pipelines.text.endings import Named, endings

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault


def refuse_unknown_accounts(context: RunContext, wanted: Sequence[Bank]) -> None:
    """Raises `WrongUsage` where removals are accepted of an account that nobody has: a slip of the hand."""
    listed = " union ".join(f"select account_id from {bank.name}.accounts where _dlt_valid_to is null" for bank in wanted)
    known = {account_id for (account_id,) in context.history.connection.execute(listed).fetchall()}
    for asked in context.options.accept_removals:
        if asked not in known:
            shown = ", ".join(sorted(known)) or "none"
            raise WrongUsage(f"--accept-removals names no account of this run: {asked}", f"The accounts known are {shown}")


def load_readings(context: RunContext, report: Report, states: States, readings: Mapping[Bank, Reading]) -> None:
    """Loads every bank's reading; adds its outcomes, notes and gaps in coverage to the report."""
    report.banks += [reading.run for reading in readings.values()]
    for bank, reading in readings.items():
        context.progress.stage(f"Loading {bank.name}")
        builder = ChangesetBuilder(context, bank, states[bank.name], report.run_id)
        loading.load(context.history, _changeset(builder, reading, report))
        report.gaps += builder.gaps()
    for bank in BANKS:
        if bank not in readings:  # its gaps in coverage are there all the same
            report.gaps += ChangesetBuilder(context, bank, states[bank.name], report.run_id).gaps()
    report.notes += sentences(join_connected(context.history.connection, context.now()))
    report.gaps = [
        gap for gap in report.gaps if not covers(context.history.connection, gap["account_id"], gap["from_on"], gap["to_on"])
    ]
    _tell_accounts_apart(context, report)


def _changeset(builder: ChangesetBuilder, reading: Reading, report: Report) -> loading.Changeset:
    context, bank = builder.context, builder.bank
    for consent_id, (import_id, owners) in reading.owners.items():
        builder.add_list("owners", consent_id, [{"consent_id": consent_id} | owner for owner in owners], import_id)
    report.notes += reading.notes
    if context.vault is not None and "consents" in bank.tables:
        builder.replace("consents", consent_rows(context.vault, bank, context.now()))
    identity = AccountIdentity(context, bank, builder.state)
    identity.compare(reading.answers, reading.run.outcomes, _whole_lists(reading), _ended_consents(context, bank, reading))
    for account_id in identity.gone:
        report.notes.append(f"account {account_id} is gone: its bank no longer lists it")
        for table in ("accounts", "standing_orders", "timed_orders"):
            if table in bank.tables:
                builder.add_list(table, account_id, [], "")
    changeset = builder.build(reading.answers, reading.run.outcomes)
    changeset.cursors = {**builder.state, **changeset.cursors, **identity.cursors, **reading.state}
    return changeset


def _whole_lists(reading: Reading) -> set[str | None]:
    """Returns the consents whose list of accounts is whole: it names every account that the bank has.

    A list that could not be read, or that belongs to an import that the bank cut short, is not.
    """
    if None in reading.whole_lists:  # one login, one list
        return set() if _without_list(reading) else {None}
    cut = {answer.outcome.consent_id for answer in reading.answers if not answer.complete}
    return reading.whole_lists - cut


def _ended_consents(context: RunContext, bank: Bank, reading: Reading) -> set[str]:
    """Returns the consents that give no list of accounts any more."""
    if context.vault is None or not bank.by_consent:
        return set()
    ended = {one.consent_id for one in context.vault.consents(source=bank.name) if one.status not in USABLE}
    return ended | {one for one in _without_list(reading) if one}


def _without_list(reading: Reading) -> set[str | None]:
    """Returns the consents (None: a login that is not stored) whose list of accounts could not be read."""
    return {one.consent_id for one in reading.run.outcomes if one.status == "failed" and one.account_id is None}


def _tell_accounts_apart(context: RunContext, report: Report) -> None:
    """Names the accounts so that no two have the same name for people, whether this run reads both or not."""
    known = context.history.connection.execute(
        " union all ".join(
            f"select account_id, coalesce({bank.accounts.number}, source_account_id), {bank.accounts.account_type},"
            f" {bank.accounts.currency} from {bank.name}.accounts where _dlt_valid_to is null"
            for bank in BANKS
        )
    ).fetchall()
    names = endings(Named(*account) for account in known)
    for outcome in report.outcomes:
        if outcome.account_id in names:
            kind = outcome.account.partition(" ")[0]
            outcome.account = f"{kind} {names[outcome.account_id]}"


def consent_rows(vault: "Vault", bank: Bank, now: datetime) -> list[dict[str, Any]]:
    """Returns the rows of raw `consents`: all that is known of each, except its token."""
    return [
        {
            "consent_id": consent.consent_id,
            "institution": consent.institution,
            "target": consent.target,
            "access_mode": consent.access_mode,
            "status": consent.status,
            "created_at": consent.created_at,
            "expires_at": consent.expires_at,
            "read_at": now,
        }
        for consent in vault.consents(source=bank.name)
    ]
