"""What one run reads, in units that stand alone: Kontist's login, and each consent of Kontomatik.

Units are read in any order and in parallel, by a thread pool of ours or as a scheduler's tasks. One that fails, foreseen or not,
leaves the others' answers alone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.consents import sign_in, upkeep
from pipelines.consents.clients import kontomatik_client
from pipelines.consents.ended import dead_feeds, told_dead
from pipelines.consents.kontist_login import KeptLogin, client_of, ended_login, kept_login, told_over
from pipelines.consents.states import USABLE
from pipelines.consents.vault import Consent, Vault
from pipelines.errors import Failure, RawBroken, where
from pipelines.read import kontist, kontomatik
from pipelines.read.deadline import Deadline
from pipelines.read.due import due
from pipelines.read.outcome import BankRun, Outcome
from pipelines.read.windows import KontistWindows, KontomatikWindows, banks_day, known_differences
from pipelines.settings import Settings
from pipelines.store.known import pending_since
from pipelines.store.raw_copy import RawCopy
from pipelines.store.shape import KONTOMATIK
from sources._errors import SourceError, is_passing

if TYPE_CHECKING:
    from pipelines.read.options import Openings, Options, Progress


@dataclass(frozen=True)
class ReadTask:
    """One thing that is read on its own."""

    name: str
    source: str
    institution: str
    number: int = 0
    opening: sign_in.Opening | None = field(default=None, repr=False)


@dataclass
class Nothing:
    """A unit of which nothing could be read."""

    run: BankRun
    answers: list[Any] = field(default_factory=list)


Reading = kontist.Reading | kontomatik.Reading | Nothing


class ReadTasks:
    """The units of one run, and what was read of them."""

    def __init__(
        self,
        settings: Settings,
        options: "Options",
        history: RawCopy,
        states: Mapping[str, Any],
        *,
        progress: "Progress",
        now: Callable[[], datetime],
        vault: Vault | None,
        openings: "Openings | None",
        tended: upkeep.Tended,
        deadline: Deadline,
    ) -> None:
        self._settings = settings
        self._options = options
        self._history = history
        self._states = states
        self._progress = progress
        self._now = now
        self._vault = vault
        self._openings = openings
        self._tended = tended
        self._deadline = deadline
        self._open = ExitStack()
        self._under_way = threading.Condition()
        self._reading = 0
        self._closing = False
        self._readings: dict[str, Reading] = {}
        self._not_due: list[tuple[Consent, str]] = []
        self._kontomatik: kontomatik.Reader | None = None
        self._requests: Callable[[], int] = lambda: 0
        self.listed: dict[str, ReadTask] = {}

    def find(self, wanted: Sequence[str]) -> None:
        """Find the units of these sources; for Kontomatik the most urgent consent first."""
        if "kontist" in wanted:
            self.listed["Kontist"] = ReadTask("Kontist", "kontist", "Kontist")
        if "kontomatik" in wanted:
            failed = self._guarded("kontomatik", self._list_consents)
            if isinstance(failed, Nothing):
                self._readings["Kontomatik"] = failed
                self.listed["Kontomatik"] = ReadTask("Kontomatik", "kontomatik", "Kontomatik")

    def read(self, name: str) -> Sequence[Outcome]:
        """Read one unit; what came of it, an outcome an account. Raises `RawBroken` when the disk refuses, nothing else.

        A consent is never asked twice in a run, whoever asks for it again; Kontist may be, and its last answer counts.
        """
        unit = self.listed[name]
        if unit.source == "kontomatik" and name in self._readings:
            return self._readings[name].run.outcomes
        with self._under_way:
            self._reading += 1
        try:
            read = self._read_kontist if unit.source == "kontist" else lambda: self._read_consent(unit)
            reading: Reading = self._guarded(unit.source, read)
        finally:
            with self._under_way:
                self._reading -= 1
                self._under_way.notify_all()
        self._readings[name] = reading
        return reading.run.outcomes

    def read_all(self) -> None:
        """Read every unit, both banks at once."""
        parallel = min(len(self.listed), 1 + max(1, self._settings.kontomatik.max_parallel_commands))
        pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="reading")
        try:
            for future in [pool.submit(self.read, name) for name in self.listed]:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def joined(self) -> dict[str, Reading]:
        """What was read, by source."""
        found: dict[str, Reading] = {}
        parts = [self._readings.get(unit.name) or self._unread(unit) for unit in self.listed.values() if unit.opening]
        if "Kontist" in self.listed:
            found["kontist"] = self._readings.get("Kontist") or self._unread(self.listed["Kontist"])
            for consent, trouble in self._troubles("kontist"):
                found["kontist"].run.outcomes.append(self._about(consent).end("failed", trouble))
        if "Kontomatik" in self.listed:
            found["kontomatik"] = self._readings["Kontomatik"]
        elif self._kontomatik is not None:
            found["kontomatik"] = self._joined_consents(parts)
        return found

    def close(self, *, wait: bool = False) -> None:
        """Close the clients. What is still being read is broken off at its next request; `wait` stays until it is."""
        self._closing = True
        self._open.close()
        if wait:
            with self._under_way:
                self._under_way.wait_for(lambda: self._reading == 0)

    def _guarded(self, source: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except OSError as error:
            cause = f"What {source} sent could not be kept ({error.strerror or error})"
            raise RawBroken(cause, "Make room, then run again") from None
        except Failure:
            raise
        except SourceError as error:
            return self._nothing(source, str(error), passing=is_passing(error))
        except Exception as error:  # a bug in one bank's reader must not cost the other bank's data
            if self._closing:  # its client was closed under it
                return self._nothing(source, f"{source} was broken off: the run was stopped")
            return self._nothing(source, f"{source}: a fault in this program ({where(error)}). Please report it with this line")

    def _nothing(self, source: str, reason: str, *, passing: bool = False) -> Nothing:
        outcome = Outcome(source, self._now(), institution=source.capitalize(), account="login", passing=passing)
        return Nothing(BankRun(source, [outcome.end("failed", reason)]))

    def _unread(self, unit: ReadTask) -> Nothing:
        return self._nothing(unit.source, f"{unit.name} was not read: its part of the run did not come to an end")

    def _read_kontist(self) -> kontist.Reading | Nothing:
        try:
            kept = kept_login(self._settings, self._vault, self._now)
            if kept.consent is None and not self._settings.kontist.configured:
                if self._vault is not None and (over := ended_login(self._vault)) is not None:
                    failed = Outcome("kontist", self._now(), consent_id=over.consent_id, institution="Kontist", account="login")
                    return Nothing(BankRun("kontist", [failed.end("failed", told_over(over))]))
                ended = Outcome("kontist", self._now(), institution="Kontist", account="login")
                reason = "its login has ended: log in again with `python -m pipelines connect kontist`"
                return Nothing(BankRun("kontist", [ended.end("skipped", reason)]))
            return self._read_through(kept)
        except Failure as failure:  # a refresh token that cannot be opened, or not be stored
            return self._nothing("kontist", str(failure))

    def _asked(self, source: str) -> dict[str, Any]:
        """What both banks' windows are found from."""
        state = self._states[source]
        return {
            "cursors": state.get("accounts", {}),
            "doubts": state.get("doubts", {}),
            "today": banks_day(self._now()),
            "differences": known_differences(self._settings.data_dir) if state.get("accounts") else {},
            "since": self._options.since,
            "full": self._options.full_refresh,
        }

    def _read_through(self, kept: KeptLogin) -> kontist.Reading:
        own = self._settings.kontist
        with client_of(kept) as client:
            client.http.before_each = self._deadline.keep
            reader = kontist.Reader(
                client,
                KontistWindows(full_read_days=own.full_read_days, lookback_days=own.lookback_days, **self._asked("kontist")),
                self._history.connection.cursor(),
                work=self._history.work,
                day=banks_day,
                now=self._now,
                kept=kept,
                aliases=self._states["kontist"].get("aliases"),
                progress=self._progress.stage,
                waits=self._progress.waits,
            )
            return reader.read()

    def _list_consents(self) -> None:
        vault, own = self._vault, self._settings.kontomatik
        if vault is None:
            raise AssertionError("Kontomatik is only wanted with a vault")
        client = self._open.enter_context(kontomatik_client(self._settings, self._now, vault.keyring.recognise))
        openings = list(self._openings(vault, client)) if self._openings is not None else self._stored(vault)
        self._kontomatik = kontomatik.Reader(
            client,
            vault,
            own,
            KontomatikWindows(
                lookback_days=own.lookback_days,
                pending_since=pending_since(self._history.connection, KONTOMATIK),
                **self._asked("kontomatik"),
            ),
            data_dir=self._settings.data_dir,
            work=self._history.work,
            day=banks_day,
            now=self._now,
            reserve=self._options.reserve,
            aliases=self._states["kontomatik"].get("aliases"),
            progress=self._progress.stage,
            deadline=self._deadline,
        )
        self._requests = lambda: client.requests
        for number, opening in enumerate(kontomatik.by_urgency(openings)):
            consent = opening.consent
            unit = ReadTask(f"{consent.institution} {consent.consent_id}", "kontomatik", consent.institution, number, opening)
            self.listed[unit.name] = unit

    def _stored(self, vault: Vault) -> Sequence[sign_in.Opening]:
        """Sign-ins that were just finished, and the consents that are due."""
        fresh = {opening.consent.consent_id for opening in self._tended.openings}
        stored = [one for one in vault.consents(source="kontomatik", status=USABLE) if one.consent_id not in fresh]
        if self._options.due_after is not None:
            stored, self._not_due = due(vault, stored, self._options.due_after, self._now())
        return [sign_in.Opening(one) for one in stored] + self._tended.openings

    def _read_consent(self, unit: ReadTask) -> kontomatik.Reading:
        if self._kontomatik is None or unit.opening is None:
            raise AssertionError(f"{unit.name} is no consent")
        return self._kontomatik.read(unit.number, unit.opening)

    def _joined_consents(self, parts: Sequence[Reading]) -> kontomatik.Reading:
        reading = kontomatik.joined(part for part in parts if isinstance(part, kontomatik.Reading))
        reading.run.requests = self._requests()
        for part in parts:
            if isinstance(part, Nothing):
                reading.run.outcomes += part.run.outcomes
        for consent, trouble in self._troubles("kontomatik"):
            reading.run.outcomes.append(self._about(consent).end("failed", trouble))
        told = {outcome.consent_id for outcome in reading.run.outcomes}
        if self._vault is not None and self._openings is None:
            for consent in dead_feeds(self._vault):
                if consent.consent_id not in told:
                    reading.run.outcomes.append(self._about(consent).end("failed", told_dead(consent)))
        for consent, reason in self._not_due:
            reading.run.outcomes.append(self._about(consent).end("skipped", reason))
        return reading

    def _troubles(self, source: str) -> list[tuple[Consent, str]]:
        return [one for one in self._tended.troubles if one[0].source == source]

    def _about(self, consent: Consent) -> Outcome:
        outcome = Outcome(consent.source, self._now(), consent_id=consent.consent_id, institution=consent.institution)
        outcome.account = f"consent {consent.consent_id}"
        return outcome
