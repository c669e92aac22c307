"""One run's work on the copy of raw history: read both banks at once, settle and load, and look after the consents."""

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipelines import load as loading
from pipelines import read_kontist, read_kontomatik
from pipelines.connections import kontist_client, kontomatik_client
from pipelines.consents import steward
from pipelines.consents.registry import Consent, Vault
from pipelines.consents.states import USABLE
from pipelines.errors import Failure, RawBroken, WrongUsage
from pipelines.history import History
from pipelines.outcomes import BankRun, Outcome
from pipelines.packing import Packer
from pipelines.settings import Settings
from pipelines.settle import Settler
from sources._errors import SourceError
from sources.kontist.columns import TABLES as KONTIST_TABLES
from sources.kontomatik.columns import TABLES as KONTOMATIK_TABLES

if TYPE_CHECKING:
    from pipelines.run import Openings, Options, Progress, Report

DATASETS = ("kontist", "kontomatik")
BANKS_DAY = ZoneInfo("Europe/Berlin")
"""The day that all of our banks are on: Berlin, Warsaw and Prague share their clock."""


def banks_day(moment: datetime) -> date:
    """The calendar day at the banks."""
    return moment.astimezone(BANKS_DAY).date()


@dataclass
class _Nothing:
    """A bank of which nothing could be read."""

    run: BankRun
    answers: list[Any] = field(default_factory=list)


@dataclass
class Job:
    """What one run does between opening raw history and publishing it."""

    settings: Settings
    options: "Options"
    report: "Report"
    history: History
    progress: "Progress"
    now: Callable[[], datetime]
    vault: Vault | None
    openings: "Openings | None"
    tended: steward.Tended
    _attempts: list[tuple[str, str]] = field(default_factory=list)
    _states: dict[str, Any] = field(default_factory=dict)

    def read(self, wanted: Sequence[str]) -> dict[str, Any]:
        """Both banks at once. One bank's failure, foreseen or not, leaves the other's answers alone."""
        for dataset in DATASETS:
            known = loading.prepared(self.history, dataset)
            if not known:
                loading.load(self.history, loading.Package(dataset))
            self._states[dataset] = loading.cursors(self.history, dataset) if known else {}
        self._refuse_unknown_accounts(wanted)
        readers = {"kontist": self._read_kontist, "kontomatik": self._read_kontomatik}
        pool = ThreadPoolExecutor(len(wanted), thread_name_prefix="bank")
        try:
            futures = {source: pool.submit(self._guarded, source, readers[source]) for source in wanted}
            readings = {source: future.result() for source, future in futures.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self.report.banks += [reading.run for reading in readings.values()]
        return readings

    def load(self, readings: dict[str, Any]) -> None:
        """Settle, pack and load what was read."""
        for source, reading in readings.items():
            self.progress.stage(f"Loading {source}")
            loading.load(self.history, self._packed(source, reading))

    def after_publishing(self) -> None:
        """The answers are safe: they need not be asked for again, and renewed consents take over."""
        if self.vault is None:
            return
        for consent_id, attempt_id in self._attempts:
            self.vault.end_attempt(attempt_id, "done", self.now())
            self.vault.imported(consent_id, self.now())
            consent = self.vault.consent(consent_id)
            if consent.status == "pending":
                self._single(consent)
            elif consent.replaces and self._all_complete(consent_id):
                with kontomatik_client(self.settings, self.now) as client:
                    trouble = steward.take_over(self.vault, client, consent_id, self.now())
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

    def _guarded(self, source: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except OSError as error:
            cause = f"What {source} sent could not be kept ({error.strerror or error})"
            raise RawBroken(cause, "Make room, then run again") from None
        except Failure:
            raise
        except SourceError as error:
            return self._nothing(source, str(error))
        except Exception as error:  # a bug in one bank's reader must not cost the other bank's data
            return self._nothing(source, f"{source}: a fault in this program ({where(error)}). Please report it with this line")

    def _nothing(self, source: str, reason: str) -> _Nothing:
        outcome = Outcome(source, self.now(), institution=source.capitalize(), account="login")
        return _Nothing(BankRun(source, [outcome.end("failed", reason)]))

    def _read_kontist(self) -> read_kontist.Reading:
        with kontist_client(self.settings, self.now) as client:
            reader = read_kontist.Reader(
                client,
                self.settings.kontist,
                self._states["kontist"],
                self.history.connection.cursor(),
                work=self.history.work,
                day=banks_day,
                now=self.now,
                since=self.options.since,
                full=self.options.full_refresh,
                progress=self.progress.stage,
            )
            return reader.read()

    def _read_kontomatik(self) -> read_kontomatik.Reading:
        vault = self.vault
        if vault is None:
            raise AssertionError("Kontomatik is only wanted with a vault")
        with kontomatik_client(self.settings, self.now, vault.keyring.recognise) as client:
            if self.openings is not None:
                openings = list(self.openings(vault, client))
            else:
                stored = vault.consents(source="kontomatik", status=USABLE)
                fresh = {opening.consent.consent_id for opening in self.tended.openings}
                openings = [steward.Opening(one) for one in stored if one.consent_id not in fresh] + self.tended.openings
            reader = read_kontomatik.Reader(
                client,
                vault,
                self.settings.kontomatik,
                self._states["kontomatik"],
                data_dir=self.settings.data_dir,
                work=self.history.work,
                day=banks_day,
                now=self.now,
                since=self.options.since,
                full=self.options.full_refresh,
                reserve=self.options.reserve,
                progress=self.progress.stage,
            )
            reading = reader.read(openings)
            read_kontomatik.without_repeats(reading)
            reading.run.requests = client.requests
        for consent, trouble in self.tended.troubles:
            outcome = Outcome("kontomatik", self.now(), consent_id=consent.consent_id, institution=consent.institution)
            outcome.account = f"consent {consent.consent_id}"
            reading.run.outcomes.append(outcome.end("failed", trouble))
        return reading

    def _packed(self, source: str, reading: Any) -> loading.Package:
        kontist = source == "kontist"
        settler = Settler(
            self.history.connection,
            believed=self.settings.removals_believed,
            believed_percent=self.settings.removals_believed_percent,
        )
        packer = Packer(
            shape=read_kontist.SHAPE if kontist else read_kontomatik.SHAPE,
            tables=KONTIST_TABLES if kontist else KONTOMATIK_TABLES,
            settler=settler,
            state=self._states[source],
            run_id=self.report.run_id,
            now=self.now,
            accepts=partial(_accepted, self.options.accept_removals),
        )
        if isinstance(reading, read_kontomatik.Reading):
            for consent_id, (import_id, owners) in reading.owners.items():
                packer.add_list("owners", consent_id, [{"consent_id": consent_id} | owner for owner in owners], import_id)
            self._attempts += reading.attempts
        if not kontist and self.vault is not None:
            packer.replace("consents", consent_rows(self.vault, self.now()))
        package = packer.pack(reading.answers, reading.run.outcomes)
        self.report.holes += packer.holes()
        return package

    def _refuse_unknown_accounts(self, wanted: Sequence[str]) -> None:
        """Removals accepted for an account that nobody has are a slip of the hand: say so before a bank is asked."""
        listed = " union ".join(f"select account_id from {source}.accounts where _dlt_valid_to is null" for source in wanted)
        known = {account_id for (account_id,) in self.history.connection.execute(listed).fetchall()}
        for asked in self.options.accept_removals:
            if asked not in known:
                shown = ", ".join(sorted(known)) or "none"
                raise WrongUsage(f"--accept-removals names no account of this run: {asked}", f"The accounts known are {shown}")


def _accepted(accounts: Sequence[str], outcome: Outcome) -> bool:
    return outcome.account_id in accounts


def consent_rows(vault: Vault, now: datetime) -> list[dict[str, Any]]:
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
        for consent in vault.consents(source="kontomatik")
    ]


def where(error: BaseException) -> str:
    """What kind of fault and on which line of ours: all that may be shown of it, since its text may hold a row."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-1] if frames else None
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}" if frame else type(error).__name__
