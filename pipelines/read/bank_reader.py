"""Connects each bank's reader with a run: what it reads as tasks that stand alone, and one reading of all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.consents.clients import kontomatik_client
from pipelines.consents.ended import ended_consents, ended_sentence
from pipelines.consents.kontist_login import KeptLogin, client_of, kept_login, stored_login
from pipelines.consents.states import USABLE
from pipelines.errors import Failure
from pipelines.read import kontist
from pipelines.read.context import RunContext
from pipelines.read.deadline import Deadline
from pipelines.read.outcome import BankRun, Outcome, Reading, login_outcome
from pipelines.read.windows import KontistPlan, KontomatikPlan, known_differences
from pipelines.store.banks import KONTIST, KONTOMATIK, Bank
from pipelines.store.known import pending_since
from sources.kontist.query_client import QueryClient
from sources.kontist.refused_fields import STATE as REFUSED_FIELDS
from sources.kontist.refused_fields import RefusedFields

if TYPE_CHECKING:
    from pipelines.consents.sign_in import Opening
    from pipelines.consents.upkeep import Maintenance
    from pipelines.consents.vault import Consent, Vault
    from pipelines.read import kontomatik
    from pipelines.read.options import Openings

States = Mapping[str, Mapping[str, Any]]
"""What the last load left in dlt's state, by bank name: `accounts` (cursors), `doubts`, `aliases`, `unlisted`, and at Kontist
`refused_fields`."""


@dataclass(frozen=True)
class ReadTask:
    """One thing that is read on its own. `opening` is the consent of a bank that is read by consents; a login has none."""

    name: str
    bank: Bank
    institution: str
    number: int = 0
    opening: "Opening | None" = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What the readers of all banks work with in one run."""

    context: RunContext
    states: States
    maintenance: "Maintenance | None" = None
    """Of the consents, before anything was read; None: there was none."""
    openings: "Openings | None" = None
    """Chooses the consents to read; None: every one that can be used."""
    deadline: Deadline
    open: ExitStack = field(default_factory=ExitStack)
    """Closes the clients."""

    def asked(self, bank: Bank) -> dict[str, Any]:
        """Returns the part of a plan that is the same for all banks."""
        state, options = self.states[bank.name], self.context.options
        return {
            "cursors": state.get("accounts", {}),
            "held": state.get("doubts", {}),
            "aliases": state.get("aliases", {}),
            "today": bank.day(self.context.now()),
            "differences": known_differences(self.context.settings.data_dir) if state.get("accounts") else {},
            "since": options.since,
            "full": options.full_refresh,
            "backfill": options.backfill,
            "deadline": self.deadline,
        }

    def add_troubles(self, bank: Bank, reading: Reading) -> None:
        """Adds an outcome for each consent that could not be maintained."""
        for consent, trouble in self.maintenance.troubles if self.maintenance is not None else ():
            if consent.source == bank.name:
                reading.run.outcomes.append(self.about(consent).end("failed", trouble))

    def about(self, consent: "Consent") -> Outcome:
        """Returns an outcome of the whole consent."""
        outcome = Outcome(consent.source, self.context.now(), consent_id=consent.consent_id, institution=consent.institution)
        outcome.account = f"consent {consent.consent_id}"
        return outcome


def failed(bank: Bank, context: RunContext, reason: str, *, retryable: bool = False) -> BankRun:
    """Returns the run of a bank of which nothing was read."""
    outcome = login_outcome(bank, context.now())
    outcome.retryable = retryable
    return BankRun(bank.name, [outcome.end("failed", reason)])


class BankReader(Protocol):
    """Reads one bank in one run."""

    def find(self) -> Sequence[ReadTask]:
        """Returns the bank's tasks. Raises `SourceError` when they cannot be listed."""

    def read(self, task: ReadTask) -> Reading:
        """Reads one task; may be called from several threads. Raises `SourceError` or `Failure` when nothing can be read."""

    def joined(self, parts: Sequence[Reading]) -> Reading:
        """Returns what was read of all tasks as one reading."""


class KontistReader:
    """Reads Kontist: one login, one task."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def find(self) -> Sequence[ReadTask]:
        """Returns the login's task."""
        return [ReadTask(KONTIST.title, KONTIST, KONTIST.title)]

    def read(self, _task: ReadTask) -> Reading:
        """Reads all accounts of the login: the stored one, else that of the settings."""
        context = self._reads.context
        settings, vault, now = context.settings, context.vault, context.now
        try:
            kept = kept_login(settings, vault, now)
            if kept.consent is not None or settings.kontist.configured:
                return self._read_through(kept)
            for over in ended_consents(vault, KONTIST) if vault is not None else []:
                ended = login_outcome(KONTIST, now(), over.consent_id).end("failed", ended_sentence(over))
                return Reading(BankRun(KONTIST.name, [ended]))
        except Failure as failure:  # a refresh token that cannot be opened, or not be stored
            return Reading(failed(KONTIST, context, str(failure)))
        outcome = login_outcome(KONTIST, now())
        if vault is not None and stored_login(vault) is not None:  # somebody counts on accounts that this run does not read
            dialect = settings.kontist.dialect
            reason = f"no login of the dialect {dialect} is stored: log in with `python -m pipelines connect kontist`"
            return Reading(BankRun(KONTIST.name, [outcome.end("failed", reason)]))
        reason = "its login has ended: log in again with `python -m pipelines connect kontist`"
        return Reading(BankRun(KONTIST.name, [outcome.end("skipped", reason)]))

    def joined(self, parts: Sequence[Reading]) -> Reading:
        """Returns the login's reading."""
        (reading,) = parts
        self._reads.add_troubles(KONTIST, reading)
        return reading

    def _read_through(self, kept: KeptLogin) -> Reading:
        context, own = self._reads.context, self._reads.context.settings.kontist
        asked = self._reads.asked(KONTIST)
        plan = KontistPlan(full_read_days=own.full_read_days, lookback_days=own.lookback_days, dialect=own.dialect, **asked)
        state = self._reads.states[KONTIST.name]
        note = dict(state.get(REFUSED_FIELDS, {}))
        with client_of(kept) as client:
            client.http.before_each = self._reads.deadline.keep
            if isinstance(client, QueryClient):
                days = 0 if context.options.full_refresh else own.full_read_days
                client.fields.remember(RefusedFields(note, own.base_url, plan.today, days))
            reading = kontist.Reader(context, plan, client, kept).read()
            if isinstance(client, QueryClient) and client.fields.learned:
                reading.notes.append(_refused_sentence(client.fields.learned))
        if note or REFUSED_FIELDS in state:
            reading.state[REFUSED_FIELDS] = note
        return reading


def _refused_sentence(fields: Iterable[tuple[str, str]]) -> str:
    names = ", ".join(sorted(".".join(one) for one in fields))
    return f"Kontist does not answer for {names}: what is known of it stays, and the next read of everything asks for it again"


class KontomatikReader:
    """Reads Kontomatik: a task for each consent, the most urgent first."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._not_due: list[tuple[Consent, str]] = []
        self._reader: kontomatik.Reader | None = None
        self._requests: Callable[[], int] = lambda: 0

    def find(self) -> Sequence[ReadTask]:
        """Returns a task for each consent that is due."""
        from pipelines.consents.national_ids import Recogniser
        from pipelines.read import kontomatik

        context = self._reads.context
        settings, vault = context.settings, context.vault
        if vault is None:
            raise AssertionError("Kontomatik is only wanted with a vault")
        recognise = Recogniser(vault.keyring, keeps=settings.kontomatik.keep_national_ids)
        client = self._reads.open.enter_context(kontomatik_client(settings, context.now, recognise))
        openings = list(self._reads.openings(vault, client)) if self._reads.openings is not None else self._stored(vault)
        plan = KontomatikPlan(
            lookback_days=settings.kontomatik.lookback_days,
            pending_since=pending_since(context.history.connection, KONTOMATIK.shape),
            reserve=context.options.reserve,
            **self._reads.asked(KONTOMATIK),
        )
        self._reader = kontomatik.Reader(context, plan, client, recognise)
        self._requests = lambda: client.requests
        return [
            ReadTask(
                f"{opening.consent.institution} {opening.consent.consent_id}",
                KONTOMATIK,
                opening.consent.institution,
                number,
                opening,
            )
            for number, opening in enumerate(kontomatik.by_urgency(openings))
        ]

    def read(self, task: ReadTask) -> Reading:
        """Imports through one consent."""
        if self._reader is None or task.opening is None:
            raise AssertionError("a task is read that was never listed")
        return self._reader.read(task.number, task.opening)

    def joined(self, parts: Sequence[Reading]) -> Reading:
        """Returns what was read through all consents, with an outcome for each that was not read."""
        from pipelines.read.kontomatik import joined

        reading = joined(parts)
        reading.run.requests = self._requests()
        self._reads.add_troubles(KONTOMATIK, reading)
        listed = {outcome.consent_id for outcome in reading.run.outcomes}
        vault = self._reads.context.vault
        if vault is not None and self._reads.openings is None:
            for consent in ended_consents(vault, KONTOMATIK):
                if consent.consent_id not in listed:
                    reading.run.outcomes.append(self._reads.about(consent).end("failed", ended_sentence(consent)))
        for consent, reason in self._not_due:
            reading.run.outcomes.append(self._reads.about(consent).end("skipped", reason))
        return reading

    def _stored(self, vault: "Vault") -> "Sequence[Opening]":
        """Returns the consents that are due, and the sign-ins that were just finished."""
        from pipelines.consents.sign_in import Opening
        from pipelines.read.due import due

        context, maintenance = self._reads.context, self._reads.maintenance
        finished = maintenance.openings if maintenance is not None else []
        fresh = {opening.consent.consent_id for opening in finished}
        stored = [one for one in vault.consents(source=KONTOMATIK.name, status=USABLE) if one.consent_id not in fresh]
        if context.options.due_after is not None:
            stored, self._not_due = due(vault, stored, context.options.due_after, context.now())
        return [Opening(one) for one in stored] + finished


READERS: Mapping[Bank, Callable[[Reads], BankReader]] = {KONTIST: KontistReader, KONTOMATIK: KontomatikReader}
