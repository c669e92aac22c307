"""One run's work on the copy of raw history: find what is to be read, settle and load it, and look after the consents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.changes.account_identity import AccountIdentity
from pipelines.changes.changeset import ChangesetBuilder
from pipelines.changes.diff import Differ
from pipelines.consents import revocation, upkeep
from pipelines.consents.clients import kontomatik_client
from pipelines.consents.quota import DONE
from pipelines.consents.states import USABLE
from pipelines.consents.vault import Consent, Vault
from pipelines.errors import WrongUsage
from pipelines.read import kontist, kontomatik
from pipelines.read.deadline import Deadline
from pipelines.read.outcome import Outcome
from pipelines.read.tasks import Reading, ReadTasks
from pipelines.settings import Settings
from pipelines.store import load as loading
from pipelines.store.raw_copy import RawCopy
from pipelines.store.shape import DATASETS, KONTIST, KONTOMATIK
from pipelines.text.endings import Named, endings
from sources.kontist.columns import TABLES as KONTIST_TABLES
from sources.kontomatik.columns import TABLES as KONTOMATIK_TABLES

if TYPE_CHECKING:
    from pipelines.read.options import Openings, Options, Progress
    from pipelines.run.report import Report


@dataclass
class Job:
    """What one run does between opening raw history and publishing it."""

    settings: Settings
    options: "Options"
    report: "Report"
    history: RawCopy
    progress: "Progress"
    now: Callable[[], datetime]
    vault: Vault | None
    openings: "Openings | None"
    tended: upkeep.Tended
    deadline: Deadline
    units: ReadTasks = field(init=False)
    _attempts: list[tuple[str, str]] = field(default_factory=list)
    _states: dict[str, Any] = field(default_factory=dict)

    def prepare(self, wanted: Sequence[str]) -> None:
        """Make raw history's tables where there are none, and find the units that are to be read."""
        loading.create_tables(self.history)
        self._states = {dataset: loading.cursors(self.history, dataset) for dataset in DATASETS}
        self._refuse_unknown_accounts(wanted)
        self.units = ReadTasks(
            self.settings,
            self.options,
            self.history,
            self._states,
            progress=self.progress,
            now=self.now,
            vault=self.vault,
            openings=self.openings,
            tended=self.tended,
            deadline=self.deadline,
        )
        self.units.find(wanted)

    def load(self) -> None:
        """Settle, pack and load what was read."""
        readings = self.units.joined()
        self.report.banks += [reading.run for reading in readings.values()]
        for source, reading in readings.items():
            self.progress.stage(f"Loading {source}")
            loading.load(self.history, self._packed(source, reading))
        for source in DATASETS:
            if source not in readings:  # what it missed is missing all the same
                self.report.holes += self._packer(source).holes()

        self._tell_apart()

    def _tell_apart(self) -> None:
        """Name the accounts to people so that no two are named alike, whether this run reads both or not."""
        known = self.history.connection.execute(
            "select account_id, coalesce(iban, source_account_id), 'account', 'EUR' from kontist.accounts"
            " where _dlt_valid_to is null union all"
            " select account_id, coalesce(iban, number, source_account_id), account_type, currency from kontomatik.accounts"
            " where _dlt_valid_to is null"
        ).fetchall()
        told = endings(Named(*account) for account in known)
        for outcome in self.report.outcomes:
            if outcome.account_id in told:
                kind = outcome.account.partition(" ")[0]
                outcome.account = f"{kind} {told[outcome.account_id]}"

    def after_publishing(self) -> None:
        """The answers are safe: they need not be asked for again, and renewed consents take over."""
        if self.vault is None:
            return
        for login in {one.consent_id for one in self.report.outcomes if one.source == "kontist" and one.status == "complete"}:
            if login is not None:
                self.vault.imported(login, self.now())
        for consent_id, attempt_id in self._attempts:
            self.vault.quota.end_attempt(attempt_id, DONE, self.now())
            self.vault.imported(consent_id, self.now())
            consent = self.vault.consent(consent_id)
            if consent.status == "pending":
                self._single(consent)
            elif consent.replaces and self._all_complete(consent_id):
                with kontomatik_client(self.settings, self.now) as client:
                    trouble = revocation.take_over(self.vault, client, consent_id, self.now())
                if trouble:
                    self.report.notes.append(trouble)

    def _single(self, consent: Consent) -> None:
        """Imported once, and the bank gave nothing to come again with."""
        if self.vault is None:
            return
        self.vault.move(consent.consent_id, "expired", "imported once: the bank gave no reusable consent", self.now())
        if consent.access_mode != "SINGLE":
            self.report.notes.append(
                f"consent {consent.consent_id}: the bank gave no reusable consent ({consent.access_mode} was asked for);"
                " what it showed is imported, and the next import needs a new sign-in"
            )

    def _all_complete(self, consent_id: str) -> bool:
        mine = [outcome for outcome in self.report.outcomes if outcome.consent_id == consent_id]
        return bool(mine) and all(outcome.status in ("complete", "skipped") for outcome in mine)

    def _packed(self, source: str, reading: Reading) -> loading.Changeset:
        packer = self._packer(source)
        if isinstance(reading, kontomatik.Reading):
            for consent_id, (import_id, owners) in reading.owners.items():
                packer.add_list("owners", consent_id, [{"consent_id": consent_id} | owner for owner in owners], import_id)
            self._attempts += reading.attempts
            self.report.notes += reading.notes
        if self.vault is not None:
            packer.replace("consents", consent_rows(self.vault, source, self.now()))
        identity = self._identity(source)
        identity.compare(reading.answers, reading.run.outcomes, *self._lists(reading))
        for account_id in identity.gone:
            self.report.notes.append(f"account {account_id} is gone: its bank no longer lists it")
            for table in ("accounts", *(name for name in ("standing_orders", "timed_orders") if name in packer.tables)):
                packer.add_list(table, account_id, [], "")
        package = packer.pack(reading.answers, reading.run.outcomes)
        package.cursors |= identity.cursors
        self.report.holes += packer.holes()
        return package

    def _identity(self, source: str) -> AccountIdentity:
        return AccountIdentity(
            self.history.connection,
            KONTIST if source == "kontist" else KONTOMATIK,
            self._states[source],
            now=self.now,
            accepts=partial(_accepted, self.options.accept_removals),
        )

    def _lists(self, reading: Reading) -> tuple[set[str | None], set[str]]:
        """Returns the consents whose whole list of accounts was read, and those that give no list any more."""
        failed = {one.consent_id for one in reading.run.outcomes if one.status == "failed" and one.account_id is None}
        if isinstance(reading, kontist.Reading):
            return (set() if failed else {None}), set()
        if not isinstance(reading, kontomatik.Reading) or self.vault is None:
            return set(), set()
        over = {one.consent_id for one in self.vault.consents(source="kontomatik") if one.status not in USABLE}
        # a list that the bank cut short names no account that is missing
        cut = {answer.outcome.consent_id for answer in reading.answers if not answer.complete}
        whole: set[str | None] = {consent_id for consent_id, _ in reading.attempts}
        return whole - cut, over | {one for one in failed if one}

    def _packer(self, source: str) -> ChangesetBuilder:
        settler = Differ(self.history.connection, self.settings.thresholds)
        return ChangesetBuilder(
            shape=KONTIST if source == "kontist" else KONTOMATIK,
            tables=KONTIST_TABLES if source == "kontist" else KONTOMATIK_TABLES,
            settler=settler,
            state=self._states[source],
            run_id=self.report.run_id,
            now=self.now,
            accepts=partial(_accepted, self.options.accept_removals),
        )

    def _refuse_unknown_accounts(self, wanted: Sequence[str]) -> None:
        """What is accepted for an account that nobody has are a slip of the hand: say so before a bank is asked."""
        listed = " union ".join(f"select account_id from {source}.accounts where _dlt_valid_to is null" for source in wanted)
        known = {account_id for (account_id,) in self.history.connection.execute(listed).fetchall()}
        for asked in self.options.accept_removals:
            if asked not in known:
                shown = ", ".join(sorted(known)) or "none"
                raise WrongUsage(f"--accept-removals names no account of this run: {asked}", f"The accounts known are {shown}")


def _accepted(accounts: Sequence[str], outcome: Outcome) -> bool:
    return outcome.account_id in accounts


def consent_rows(vault: Vault, source: str, now: datetime) -> list[dict[str, Any]]:
    """The rows of raw `consents`: what may be known of each, and that is not its token."""
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
        for consent in vault.consents(source=source)
    ]
