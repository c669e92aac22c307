"""Reads Kontomatik for one run: an import through each consent, and an answer of each account.

An import spends one of four in 24 hours, so each attempt is in the vault before the bank is asked, and one that the bank
accepted is resumed by its command id, not repeated. One consent failing never stops another.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.consents.national_ids import Recogniser
from pipelines.consents.quota import NEVER_SENT, REFUSED, Attempt, NoneLeft
from pipelines.consents.sign_in import Opening, asked_since
from pipelines.consents.states import UNNAMED, MoveRefused
from pipelines.consents.vault import Consent
from pipelines.errors import Failure, where
from pipelines.read.command_slots import slot
from pipelines.read.context import RunContext
from pipelines.read.outcome import Answer, BankRun, Outcome, Reading
from pipelines.read.shared_slots import SharedSlots
from pipelines.read.windows import KontomatikPlan
from pipelines.store.banks import KONTOMATIK
from pipelines.store.known import known_as
from sources._columns import read_by_source
from sources._errors import ConsentGone, QuotaSpent, Rejected, SessionGone, SourceError, Unreached
from sources._identity import tail
from sources._spool import Spools
from sources.kontomatik.columns import TRANSACTIONS
from sources.kontomatik.errors import CommandUnfinished
from sources.kontomatik.reach import to_ask
from sources.kontomatik.results import AccountRead, Command, ImportResult, Session

if TYPE_CHECKING:
    from sources.kontomatik.client import KontomatikClient

_TOO_MANY_SESSIONS = ("ConcurrentSessionsLimitExceed", "ConcurrentSessionsLimitExceeded")
_BANKS_WORD = "the bank says that its quota is used up"
_DIALECT = "Check the setting sources.kontomatik.dialect with `python -m pipelines doctor`"


class Reader:
    """Reads consents through one client, in parallel, into spools of the run's own folder."""

    def __init__(
        self, context: RunContext, plan: KontomatikPlan, client: "KontomatikClient", recognise: Recogniser | None = None
    ) -> None:
        if context.vault is None:
            raise AssertionError("Kontomatik is only read with a vault")
        self._context = context
        self._vault = context.vault
        self._own = context.settings.kontomatik
        self._now = context.now
        self._plan = plan
        self._client = client
        self._recognise = recognise
        slots = self._own.max_parallel_commands
        if self._vault.database.is_shared:
            self._slot = SharedSlots(self._vault.database, self._own.api_key or "", slots, sleep=self._sleep).slot
        else:
            self._slot = partial(slot, context.settings.data_dir, slots, sleep=self._sleep)

    def read(self, number: int, opening: Opening) -> Reading:
        """Imports through one consent, the `number`th of this run; may be called from several threads.

        Never raises for what the bank does: the outcome says what happened. Raises `OSError` when the disk refuses.
        """
        consent = opening.consent
        reading = Reading(BankRun(KONTOMATIK.name))
        outcome = Outcome(
            KONTOMATIK.name,
            self._now(),
            consent_id=consent.consent_id,
            institution=consent.institution,
            account=f"consent {consent.consent_id}",
        )
        self._context.progress.stage(f"{KONTOMATIK.title}: {consent.institution}")
        try:
            with self._slot():
                self._plan.deadline.keep(KONTOMATIK.name)
                attempt, result = self._import(number, opening, reading)
            self._store_token(consent, result)
        except NoneLeft as spent:
            reading.run.outcomes.append(outcome.end("skipped", self._spent(spent)))
            return reading
        except SourceError as error:
            self._explain(error, consent, outcome)
            reading.run.outcomes.append(outcome)
            return reading
        except Failure as failure:
            reading.run.outcomes.append(outcome.end("failed", str(failure)))
            return reading
        except OSError:
            raise
        except Exception as error:  # a bug met at one consent must not cost the others' data
            reading.run.outcomes.append(outcome.end("failed", f"a fault in this program ({where(error)}). Please report it"))
            return reading
        reading.attempts.append((consent.consent_id, attempt.attempt_id))
        reading.whole_lists.add(consent.consent_id)
        self._add_accounts(opening, attempt, result, outcome, reading)
        return reading

    def _sleep(self, seconds: float) -> None:
        """Waits for a slot that other processes hold. Raises `OutOfTime` when the run's time is over."""
        self._plan.deadline.keep(KONTOMATIK.name)
        time.sleep(seconds)

    def _import(self, number: int, opening: Opening, reading: Reading) -> tuple[Attempt, ImportResult]:
        """Returns the import's attempt and result. On failure the attempt is ended, unless it can be resumed."""
        consent = opening.consent
        spools = Spools(self._context.history.work, f"kontomatik-{number}", read_by_source(TRANSACTIONS))
        if unfinished := self._vault.quota.unfinished(consent.consent_id, self._now()):
            try:
                return unfinished, self._wait(consent, unfinished.attempt_id, unfinished.command_id, spools)
            except Rejected as error:
                if isinstance(error, ConsentGone):
                    raise
        return self._new_import(opening, spools, reading)

    def _new_import(self, opening: Opening, spools: Spools, reading: Reading) -> tuple[Attempt, ImportResult]:
        consent, client, started_at = opening.consent, self._client, self._now()
        if opening.session is None and consent.status == "pending":
            raise ConsentGone(KONTOMATIK.name, "its first import failed", "Connect the bank again")
        token = "" if opening.session else self._vault.token(consent.consent_id)
        since = self._claim(opening, reading)
        kind = "first import" if opening.session else "reuse"
        budget = max(0, self._own.imports_per_day - self._plan.reserve)
        attempt_id = self._vault.quota.begin_attempt(consent.consent_id, kind, since, started_at, per_day=budget)
        reading.run.imports += 1
        asked = to_ask(since)
        opened: Session | Command | None = opening.session
        try:
            if opened is None:
                opened = client.reuse(token, asked)
            command = opened if isinstance(opened, Command) else client.start_import(opened, asked, consent.owner_external_id)
        except SourceError as error:
            if isinstance(error, Unreached) and opened is opening.session:
                self._vault.quota.end_attempt(attempt_id, NEVER_SENT, self._now())
                raise
            self._end_unless_resumable(consent, attempt_id, error, refused=opened is opening.session and _refused(error))
            if isinstance(error, SessionGone) and opening.session and consent.has_token:
                return self._new_import(replace(opening, session=None), spools, reading)  # the sign-in is too long ago
            raise
        self._vault.quota.note_command(attempt_id, command.id, self._now())
        return Attempt(attempt_id, command.id, since, started_at), self._wait(consent, attempt_id, command.id, spools)

    def _wait(self, consent: Consent, attempt_id: str, command_id: str, spools: Spools) -> ImportResult:
        try:
            return self._client.wait(command_id, spools.new, left=lambda: self._plan.deadline.left)
        except SourceError as error:
            self._end_unless_resumable(consent, attempt_id, error)
            raise

    def _claim(self, opening: Opening, reading: Reading) -> date | None:
        """Returns the first day that the next answer shall cover; None for all that the bank gives.

        Only `connect --since` narrows the first import of a consent: what that does not bring may never be shown again.
        """
        consent_id, plan = opening.consent.consent_id, self._plan
        accounts = self._vault.accounts_of(consent_id)
        if opening.session is None and accounts:
            return plan.claim(accounts, may_deepen=not self._vault.quota.fell_short(consent_id, plan.reachable, self._now()))
        asked = self._first_day(opening)
        if plan.since is not None and plan.since != asked:
            note = f"consent {consent_id}: its first import ignores --since and reads {_all_from(asked)}"
            reading.notes += [note] if note not in reading.notes else []
        return max(plan.reachable, asked) if asked and opening.session is None else asked

    def _first_day(self, opening: Opening) -> date | None:
        """Returns the day that `connect --since` asked for."""
        return opening.since or asked_since(self._vault, opening.consent.consent_id)

    def _end_unless_resumable(self, consent: Consent, attempt_id: str, error: SourceError, *, refused: bool = False) -> None:
        if not isinstance(error, CommandUnfinished):
            reason = error.code or type(error).__name__
            self._vault.quota.end_attempt(attempt_id, f"{REFUSED}{reason}" if refused else reason, self._now())
        if isinstance(error, QuotaSpent):
            self._vault.quota.note_refusal(consent.consent_id, self._now(), error.retry_after)

    def _explain(self, error: SourceError, consent: Consent, outcome: Outcome) -> None:
        match error:
            case QuotaSpent():
                quota = self._vault.quota.remaining(consent.consent_id, self._own.imports_per_day, self._now())
                outcome.end("skipped", f"{_BANKS_WORD}; {_next_text(quota.next_at)}")
            case ConsentGone() | SessionGone():
                if consent.status != "pending" and isinstance(error, ConsentGone) and not self._speaks_our_dialect():
                    outcome.end("failed", f"{error} It is kept: the bank's catalog was not understood. {_DIALECT}")
                    return
                # A session that is over is the end of a consent that has nothing else.
                if isinstance(error, ConsentGone) or consent.status == "pending":
                    with suppress(MoveRefused):  # somebody has ended it meanwhile
                        reason = error.code or "the bank says that it is gone"
                        self._vault.move(consent.consent_id, "expired", reason, self._now())
                outcome.end("failed", str(error))
            case _:
                outcome.end("failed", str(error))

    def _speaks_our_dialect(self) -> bool:
        """Returns whether the service speaks our dialect. In the other one it finds no token in our requests, and calls every
        consent gone."""
        try:
            self._client.catalog()
        except SourceError:
            return False
        return True

    def _spent(self, spent: NoneLeft) -> str:
        per_day, kept = self._own.imports_per_day, min(self._plan.reserve, self._own.imports_per_day)
        reason = f"all {per_day} imports of the last 24 hours are used"
        if spent.by_bank:
            reason = _BANKS_WORD
        elif kept:
            reason = f"the last {kept} of {per_day} imports in 24 hours are reserved for manual use (--reserve)"
        return f"{reason}; {_next_text(spent.next_at)}"

    def _store_token(self, consent: Consent, result: ImportResult) -> None:
        """Stores the token that the published specification hands over with the import, before anything else is done."""
        if result.token and consent.access_mode != "SINGLE":
            institution = result.institution or result.target
            self._vault.keep_token(consent.consent_id, result.token, self._now(), institution=institution, target=result.target)

    def _add_accounts(self, opening: Opening, attempt: Attempt, result: ImportResult, outcome: Outcome, reading: Reading) -> None:
        """Adds an outcome for each account of the import, and an answer for each that could be read."""
        consent = opening.consent
        institution = result.institution or result.target or consent.institution
        if consent.institution == UNNAMED and institution != UNNAMED:
            self._vault.name(consent.consent_id, institution, result.target, self._now())
        ids = known_as(self._plan.aliases, (account.account_id for account in result.accounts))
        accounts = [replace(account, account_id=ids[account.account_id]) for account in result.accounts]
        first = not self._vault.accounts_of(consent.consent_id)
        narrowed = attempt.since is not None and first and self._first_day(opening) is not None
        self._vault.covers(consent.consent_id, [account.account_id for account in accounts])
        reading.owners[consent.consent_id] = (outcome.import_id, result.owners)
        if self._recognise is not None:
            numbers = self._recognise.numbers_of(result.owners)
            self._vault.national_ids.take_over(consent.consent_id, consent.replaces, numbers)
        for account in accounts:
            part = Outcome(
                KONTOMATIK.name,
                outcome.started_at,
                account_id=account.account_id,
                consent_id=consent.consent_id,
                institution=institution,
                account=_label(account),
                currency=account.account.get("currency"),
                balance=account.account.get("balance"),
                as_of=attempt.started_at if attempt.started_at < outcome.started_at else None,
                unknown_fields=tuple(sorted(account.unknown_fields)),
            )
            reading.run.outcomes.append(part)
            if account.error is not None:
                part.end("failed", str(account.error))
            else:
                reading.answers.append(self._answer(account, part, attempt, narrowed=narrowed))
        if not result.accounts:
            reading.run.outcomes.append(outcome.end("failed", "the bank shows no account under this consent"))

    def _answer(self, account: AccountRead, outcome: Outcome, attempt: Attempt, *, narrowed: bool) -> Answer:
        """Returns the answer of one account. `narrowed`: `connect --since` asked for less than the bank has."""
        plan, since, as_of = self._plan, attempt.since, KONTOMATIK.day(attempt.started_at)
        everything, known = since is None, account.account_id in plan.cursors
        marks = plan.marks(account.account_id, since, as_of)
        if everything or (narrowed and not known):
            marks["not_before"] = since.isoformat() if since else None
        own = {
            "account_id": account.account_id,
            "source_account_id": account.source_account_id,
            "consent_id": outcome.consent_id,
        }
        return Answer(
            outcome=outcome,
            account=_with_institution(account.account, outcome.institution) | own,
            spool=account.spool,  # type: ignore[arg-type]  # made by our own factory
            depth="full" if everything else "deep",
            since=since,
            as_of=as_of,
            complete=not account.partial,
            depth_known=not everything,
            newest_first=account.newest_first,
            gap=plan.gap(account.account_id, since),
            earns_cursor=everything or known or narrowed or plan.reaches_back(since),
            marks=marks,
            trouble=_not_that_far(plan, outcome, since),
        )


def _not_that_far(plan: KontomatikPlan, outcome: Outcome, first: date | None) -> str | None:
    """Returns a sentence for an account that a backfill cannot read back to its day: what a reused consent shows ends before."""
    if not plan.out_of_reach(str(outcome.account_id), first):
        return None
    return (
        f"a reused consent shows no day before {first}, so {plan.since} is not reached. A new sign-in shows all that the bank"
        f" has: `python -m pipelines consents renew {outcome.consent_id}`"
    )


def by_urgency(openings: Iterable[Opening]) -> list[Opening]:
    """Returns the stalest first: it is nearest the day from which 90 days no longer reach back."""
    return sorted(openings, key=_urgency)


def joined(parts: Iterable[Reading]) -> Reading:
    """Returns what was read through all consents, as one reading with one answer an account."""
    reading = Reading(BankRun(KONTOMATIK.name))
    for part in parts:
        reading.add(part)
    without_repeats(reading)
    return reading


def without_repeats(reading: Reading) -> None:
    """Leaves one answer an account: two consents may read the same one, and its rows must not be loaded twice.

    The deepest answer stays; of equal ones, the first.
    """
    best: dict[str, Answer] = {}
    for answer in reading.answers:
        account_id = str(answer.outcome.account_id)
        rival = best.get(account_id)
        if rival is None or _depth(answer) > _depth(rival):
            best[account_id] = answer
    for answer in reading.answers:
        if best[str(answer.outcome.account_id)] is not answer:
            answer.outcome.end("skipped", "read through another consent in this run")
    reading.answers = list(best.values())


def _depth(answer: Answer) -> tuple[bool, int]:
    return answer.complete, -(answer.since or date.min).toordinal()


def _with_institution(account: Mapping[str, Any], institution: str) -> dict[str, Any]:
    return {**account, "institution": account.get("institution") or institution}


def _label(account: AccountRead) -> str:
    """Returns the account's name for people: the end of its IBAN; without one, the end of its number and the start of its id."""
    row = account.account
    kind = "card" if row.get("account_type") == "card" else "account"
    if kind == "account" and row.get("iban"):
        return f"account {tail(row['iban'])}"
    return f"{kind} {tail(row.get('number'))} ({account.account_id.partition(':')[2][:4]})"


def _urgency(opening: Opening) -> tuple[bool, str, str]:
    """Returns the sort key: fresh sign-ins first, since a session ends in minutes; then the stalest; then the soonest to end."""
    consent = opening.consent
    read, ends = consent.last_import_at, consent.expires_at
    return opening.session is None, read.isoformat() if read else "", ends.isoformat() if ends else ""


def _next_text(next_at: datetime | None) -> str:
    return f"next possible at {next_at:%Y-%m-%d %H:%M} UTC" if next_at else "next possible when the quota allows it"


def _refused(error: SourceError) -> bool:
    """Returns whether the bank itself says that it began no import."""
    refusal = isinstance(error, QuotaSpent | Rejected) or error.code in ("JobsQuotaExceeded", *_TOO_MANY_SESSIONS)
    return bool(error.code) and refusal and not isinstance(error, SessionGone)


def _all_from(first_day: date | None) -> str:
    if first_day is None:
        return "all that the bank gives; `connect kontomatik --since` asks for less"
    return f"from {first_day} on, as `connect --since` asked"
