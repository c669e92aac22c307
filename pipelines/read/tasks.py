"""Lists what one run reads, as tasks that stand alone: Kontist's login, and each consent of Kontomatik.

Tasks are read in any order and in parallel, by a thread pool of ours or as a scheduler's own tasks. One that fails, foreseen or
not, leaves the others' answers alone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.consents.clients import kontomatik_client
from pipelines.consents.ended import dead_feeds, told_dead
from pipelines.consents.kontist_login import KeptLogin, client_of, ended_login, kept_login, told_over
from pipelines.consents.sign_in import Opening
from pipelines.consents.states import USABLE
from pipelines.consents.upkeep import Tended
from pipelines.consents.vault import Consent, Vault
from pipelines.errors import Failure, RawBroken, where
from pipelines.read import kontist, kontomatik
from pipelines.read.context import RunContext
from pipelines.read.deadline import Deadline
from pipelines.read.due import due
from pipelines.read.outcome import BankRun, Outcome, Reading, login_outcome
from pipelines.read.windows import KontistPlan, KontomatikPlan, known_differences
from pipelines.store.banks import KONTIST, KONTOMATIK, Bank
from pipelines.store.known import pending_since
from sources._errors import SourceError, is_retryable

if TYPE_CHECKING:
    from pipelines.read.options import Openings

States = Mapping[str, Mapping[str, Any]]
"""What the last load left in dlt's state, by bank name: `accounts` (cursors), `doubts`, `aliases`, `unlisted`."""


@dataclass(frozen=True)
class ReadTask:
    """One thing that is read on its own. `opening` is the consent of Kontomatik; Kontist's login has none."""

    name: str
    bank: Bank
    institution: str
    number: int = 0
    opening: Opening | None = field(default=None, repr=False)


class ReadTasks:
    """The tasks of one run, and what was read of each."""

    def __init__(
        self,
        context: RunContext,
        states: States,
        *,
        tended: Tended,
        openings: "Openings | None" = None,
        deadline: Deadline,
    ) -> None:
        self._context = context
        self._states = states
        self._tended = tended
        self._openings = openings
        self._deadline = deadline
        self._open = ExitStack()
        self._reads_ended = threading.Condition()
        self._under_way = 0
        self._closing = False
        self._readings: dict[str, Reading] = {}
        self._not_due: list[tuple[Consent, str]] = []
        self._kontomatik: kontomatik.Reader | None = None
        self._requests: Callable[[], int] = lambda: 0
        self.listed: dict[str, ReadTask] = {}
        """By name; of Kontomatik the most urgent consent first."""
        self.listing_failed: BankRun | None = None
        """Why the consents of Kontomatik could not be listed; None: they could."""

    def find(self, wanted: Sequence[Bank]) -> None:
        """Lists the tasks of these banks."""
        if KONTIST in wanted:
            self._list(ReadTask(KONTIST.title, KONTIST, KONTIST.title))
        if KONTOMATIK in wanted:
            self.listing_failed = self._failure(KONTOMATIK, self._list_consents)

    def read(self, name: str) -> Sequence[Outcome]:
        """Reads one task; returns an outcome an account. Raises `RawBroken` when the disk refuses, nothing else.

        A consent is never asked twice in a run, whoever asks for it again; Kontist may be, and its last answer counts.
        """
        task = self.listed[name]
        if task.bank is KONTOMATIK and name in self._readings:
            return self._readings[name].run.outcomes
        with self._reads_ended:
            self._under_way += 1
        try:
            failed = self._failure(task.bank, lambda: self._read(task))
            if failed is not None:
                self._readings[name] = Reading(failed)
        finally:
            with self._reads_ended:
                self._under_way -= 1
                self._reads_ended.notify_all()
        return self._readings[name].run.outcomes

    def read_all(self) -> None:
        """Reads every task, both banks at once."""
        parallel = min(len(self.listed), 1 + max(1, self._context.settings.kontomatik.max_parallel_commands))
        pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="reading")
        try:
            for future in [pool.submit(self.read, name) for name in self.listed]:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def joined(self) -> dict[Bank, Reading]:
        """Returns one reading a bank."""
        found: dict[Bank, Reading] = {}
        parts = {task: self._readings.get(task.name) or Reading(self._unread(task)) for task in self.listed.values()}
        for task, reading in parts.items():
            if task.bank is KONTIST:
                found[KONTIST] = reading
                for consent, trouble in self._troubles(KONTIST):
                    reading.run.outcomes.append(self._about(consent).end("failed", trouble))
        if self.listing_failed is not None:
            found[KONTOMATIK] = Reading(self.listing_failed)
        elif self._kontomatik is not None:
            found[KONTOMATIK] = self._joined_consents([one for task, one in parts.items() if task.bank is KONTOMATIK])
        return found

    def close(self, *, wait: bool = False) -> None:
        """Closes the clients: a read that is under way fails at its next request. `wait`: returns once all have ended."""
        self._closing = True
        self._open.close()
        if wait:
            with self._reads_ended:
                self._reads_ended.wait_for(lambda: self._under_way == 0)

    def _list(self, task: ReadTask) -> None:
        self.listed[task.name] = task

    def _failure(self, bank: Bank, work: Callable[[], None]) -> BankRun | None:
        """Does `work`; returns how it failed, None when it did not. Raises only what no bank can cause."""
        try:
            work()
        except OSError as error:
            cause = f"What {bank.name} sent could not be kept ({error.strerror or error})"
            raise RawBroken(cause, "Make room, then run again") from None
        except Failure:
            raise
        except SourceError as error:
            return self._failed(bank, str(error), retryable=is_retryable(error))
        except Exception as error:  # a bug in one bank's reader must not cost the other bank's data
            if self._closing:  # its client was closed under it
                return self._failed(bank, f"{bank.name} was broken off: the run was stopped")
            return self._failed(bank, f"{bank.name}: a fault in this program ({where(error)}). Please report it with this line")
        return None

    def _failed(self, bank: Bank, reason: str, *, retryable: bool = False) -> BankRun:
        outcome = login_outcome(bank, self._context.now())
        outcome.retryable = retryable
        return BankRun(bank.name, [outcome.end("failed", reason)])

    def _unread(self, task: ReadTask) -> BankRun:
        return self._failed(task.bank, f"{task.name} was not read: its part of the run did not come to an end")

    def _read(self, task: ReadTask) -> None:
        if task.bank is KONTIST:
            self._readings[task.name] = self._read_kontist()
        elif task.opening is not None and self._kontomatik is not None:
            self._readings[task.name] = self._kontomatik.read(task.number, task.opening)

    def _read_kontist(self) -> Reading:
        settings, vault, now = self._context.settings, self._context.vault, self._context.now
        try:
            kept = kept_login(settings, vault, now)
            if kept.consent is not None or settings.kontist.configured:
                return self._read_through(kept)
            if vault is not None and (over := ended_login(vault)) is not None:
                ended = login_outcome(KONTIST, now(), over.consent_id).end("failed", told_over(over))
            else:
                reason = "its login has ended: log in again with `python -m pipelines connect kontist`"
                ended = login_outcome(KONTIST, now()).end("skipped", reason)
            return Reading(BankRun(KONTIST.name, [ended]))
        except Failure as failure:  # a refresh token that cannot be opened, or not be stored
            return Reading(self._failed(KONTIST, str(failure)))

    def _read_through(self, kept: KeptLogin) -> Reading:
        own = self._context.settings.kontist
        plan = KontistPlan(full_read_days=own.full_read_days, lookback_days=own.lookback_days, **self._asked(KONTIST))
        with client_of(kept) as client:
            client.http.before_each = self._deadline.keep
            return kontist.Reader(self._context, plan, client, kept).read()

    def _asked(self, bank: Bank) -> dict[str, Any]:
        """Returns the part of a plan that is the same for both banks."""
        state, options = self._states[bank.name], self._context.options
        return {
            "cursors": state.get("accounts", {}),
            "doubts": state.get("doubts", {}),
            "aliases": state.get("aliases", {}),
            "today": bank.day(self._context.now()),
            "differences": known_differences(self._context.settings.data_dir) if state.get("accounts") else {},
            "since": options.since,
            "full": options.full_refresh,
            "deadline": self._deadline,
        }

    def _list_consents(self) -> None:
        settings, vault = self._context.settings, self._context.vault
        if vault is None:
            raise AssertionError("Kontomatik is only wanted with a vault")
        client = self._open.enter_context(kontomatik_client(settings, self._context.now, vault.keyring.recognise))
        openings = list(self._openings(vault, client)) if self._openings is not None else self._stored(vault)
        plan = KontomatikPlan(
            lookback_days=settings.kontomatik.lookback_days,
            pending_since=pending_since(self._context.history.connection, KONTOMATIK.shape),
            reserve=self._context.options.reserve,
            **self._asked(KONTOMATIK),
        )
        self._kontomatik = kontomatik.Reader(self._context, plan, client)
        self._requests = lambda: client.requests
        for number, opening in enumerate(kontomatik.by_urgency(openings)):
            institution = opening.consent.institution
            self._list(ReadTask(f"{institution} {opening.consent.consent_id}", KONTOMATIK, institution, number, opening))

    def _stored(self, vault: Vault) -> Sequence[Opening]:
        """Returns the consents that are due, and the sign-ins that were just finished."""
        options = self._context.options
        fresh = {opening.consent.consent_id for opening in self._tended.openings}
        stored = [one for one in vault.consents(source=KONTOMATIK.name, status=USABLE) if one.consent_id not in fresh]
        if options.due_after is not None:
            stored, self._not_due = due(vault, stored, options.due_after, self._context.now())
        return [Opening(one) for one in stored] + self._tended.openings

    def _joined_consents(self, parts: Sequence[Reading]) -> Reading:
        reading = kontomatik.joined(parts)
        reading.run.requests = self._requests()
        for consent, trouble in self._troubles(KONTOMATIK):
            reading.run.outcomes.append(self._about(consent).end("failed", trouble))
        listed = {outcome.consent_id for outcome in reading.run.outcomes}
        if self._context.vault is not None and self._openings is None:
            for consent in dead_feeds(self._context.vault):
                if consent.consent_id not in listed:
                    reading.run.outcomes.append(self._about(consent).end("failed", told_dead(consent)))
        for consent, reason in self._not_due:
            reading.run.outcomes.append(self._about(consent).end("skipped", reason))
        return reading

    def _troubles(self, bank: Bank) -> list[tuple[Consent, str]]:
        return [one for one in self._tended.troubles if one[0].source == bank.name]

    def _about(self, consent: Consent) -> Outcome:
        outcome = Outcome(consent.source, self._context.now(), consent_id=consent.consent_id, institution=consent.institution)
        outcome.account = f"consent {consent.consent_id}"
        return outcome
