"""Reading Kontomatik for one run: through which consents, at what cost, and what their accounts answered.

An import spends one of four in 24 hours, so each attempt is in the vault before the bank is asked, and one that the bank
accepted is resumed by its command id, not repeated. One consent failing never stops another.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.consents.quota import NEVER_SENT, REFUSED, Attempt, NoneLeft
from pipelines.consents.sign_in import Opening, asked_since
from pipelines.consents.states import MoveRefused
from pipelines.consents.vault import UNNAMED, Consent, Vault
from pipelines.errors import Failure, where
from pipelines.read.command_slots import slot
from pipelines.read.deadline import NONE, Deadline
from pipelines.read.outcome import Answer, BankRun, Outcome
from pipelines.read.spool import Spools
from pipelines.read.windows import KontomatikWindows
from pipelines.settings import KontomatikSettings
from pipelines.store.known import known_as
from sources._columns import read_by_source
from sources._errors import ConsentGone, QuotaSpent, Rejected, SessionGone, SourceError, Unreached
from sources._identity import tail
from sources.kontomatik.columns import TRANSACTIONS
from sources.kontomatik.errors import CommandUnfinished
from sources.kontomatik.results import AccountRead, Command, ImportResult, Session

if TYPE_CHECKING:
    from sources.kontomatik.client import KontomatikClient

_TOO_MANY_SESSIONS = ("ConcurrentSessionsLimitExceed", "ConcurrentSessionsLimitExceeded")
_BANKS_WORD = "the bank says that its quota is used up"
_DIALECT = "Check the setting sources.kontomatik.dialect with `python -m pipelines doctor`"


@dataclass
class Reading:
    """What one run reads of Kontomatik."""

    run: BankRun
    answers: list[Answer] = field(default_factory=list)
    owners: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)
    """Consent to the import that showed its owners, and the owners."""
    attempts: list[tuple[str, str]] = field(default_factory=list)
    """Consents and their attempts, to be ended as done once their answers are in raw history."""
    notes: list[str] = field(default_factory=list)
    """What somebody should know, and is no failure."""


class Reader:
    """Reads consents through one client, in parallel, into spools in `work`."""

    def __init__(
        self,
        client: "KontomatikClient",
        vault: Vault,
        settings: KontomatikSettings,
        windows: KontomatikWindows,
        *,
        data_dir: Path,
        work: Path,
        day: Callable[[datetime], date],
        now: Callable[[], datetime],
        reserve: int = 0,
        aliases: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _: None,
        deadline: Deadline = NONE,
    ) -> None:
        self._client = client
        self._vault = vault
        self._settings = settings
        self._windows = windows
        self._aliases: Mapping[str, str] = aliases or {}
        self._data_dir = data_dir
        self._work = work
        self._day = day
        self._now = now
        self._reserve = reserve
        self._progress = progress
        self._deadline = deadline

    def read(self, number: int, opening: Opening) -> Reading:
        """Import through one consent, the `number`th of this run; may be called from several threads.

        Never raises for what the bank does: the outcome says what happened. Raises `OSError` when the disk refuses.
        """
        consent = opening.consent
        reading = Reading(BankRun("kontomatik"))
        outcome = Outcome(
            "kontomatik",
            self._now(),
            consent_id=consent.consent_id,
            institution=consent.institution,
            account=f"consent {consent.consent_id}",
        )
        self._progress(f"Kontomatik: {consent.institution}")
        try:
            with slot(self._data_dir, self._settings.max_parallel_commands):
                self._deadline.keep("kontomatik")
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
        self._take(opening, attempt, result, outcome, reading)
        return reading

    def _import(self, number: int, opening: Opening, reading: Reading) -> tuple[Attempt, ImportResult]:
        """The import's result, and the attempt it came by. On failure the attempt is ended, unless it can be resumed."""
        consent, spools = opening.consent, Spools(self._work, f"kontomatik-{number}", read_by_source(TRANSACTIONS))
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
            raise ConsentGone("kontomatik", "its first import failed", "Connect the bank again")
        token = "" if opening.session else self._vault.token(consent.consent_id)
        since = self._claim(opening, reading)
        kind = "first import" if opening.session else "reuse"
        budget = max(0, self._settings.imports_per_day - self._reserve)
        attempt_id = self._vault.quota.begin_attempt(consent.consent_id, kind, since, started_at, per_day=budget)
        reading.run.imports += 1
        # `since` may be read as "after" and against either date: one day more than the window claims.
        asked = since - timedelta(days=1) if since else None
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
            return self._client.wait(command_id, spools.new, left=lambda: self._deadline.left)
        except SourceError as error:
            self._end_unless_resumable(consent, attempt_id, error)
            raise

    def _claim(self, opening: Opening, reading: Reading) -> date | None:
        """The first day that the next answer shall cover; None for all that the bank gives.

        Only `connect --since` narrows the first import of a consent: what that does not bring may never be shown again.
        """
        consent_id, windows = opening.consent.consent_id, self._windows
        accounts = self._vault.accounts_of(consent_id)
        if opening.session is None and accounts:
            return windows.claim(
                accounts, may_deepen=not self._vault.quota.fell_short(consent_id, windows.reachable, self._now())
            )
        asked = self._first_day(opening)
        if windows.since is not None and windows.since != asked:
            note = f"consent {consent_id}: its first import ignores --since and reads {_all_from(asked)}"
            reading.notes += [note] if note not in reading.notes else []
        return max(windows.reachable, asked) if asked and opening.session is None else asked

    def _first_day(self, opening: Opening) -> date | None:
        """What `connect --since` asked for."""
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
                quota = self._vault.quota.remaining(consent.consent_id, self._settings.imports_per_day, self._now())
                outcome.end("skipped", f"{_BANKS_WORD}; {_next_text(quota.next_at)}")
            case ConsentGone() | SessionGone():
                if consent.status != "pending" and isinstance(error, ConsentGone) and not self._understood():
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

    def _understood(self) -> bool:
        """Whether the service speaks our dialect: in the other one it finds no token in what we send, and every consent gone."""
        try:
            self._client.catalog()
        except SourceError:
            return False
        return True

    def _spent(self, spent: NoneLeft) -> str:
        per_day, kept = self._settings.imports_per_day, min(self._reserve, self._settings.imports_per_day)
        told = f"all {per_day} imports of the last 24 hours are used"
        if spent.by_bank:
            told = _BANKS_WORD
        elif kept:
            told = f"the last {kept} of {per_day} imports in 24 hours are kept back for people (--reserve)"
        return f"{told}; {_next_text(spent.next_at)}"

    def _store_token(self, consent: Consent, result: ImportResult) -> None:
        """The published specification hands the token over with the import: it is safe before anything else is done."""
        if result.token and consent.access_mode != "SINGLE":
            institution = result.institution or result.target
            self._vault.keep_token(consent.consent_id, result.token, self._now(), institution=institution, target=result.target)

    def _take(self, opening: Opening, attempt: Attempt, result: ImportResult, outcome: Outcome, reading: Reading) -> None:
        consent, windows = opening.consent, self._windows
        institution = result.institution or result.target or consent.institution
        if consent.institution == UNNAMED and institution != UNNAMED:
            self._vault.name(consent.consent_id, institution, result.target, self._now())
        ids = known_as(self._aliases, (account.account_id for account in result.accounts))
        accounts = [replace(account, account_id=ids[account.account_id]) for account in result.accounts]
        narrowed = attempt.since is not None and not self._vault.accounts_of(consent.consent_id) and self._first_day(opening)
        self._vault.covers(consent.consent_id, [account.account_id for account in accounts])
        reading.owners[consent.consent_id] = (outcome.import_id, result.owners)
        for account in accounts:
            part = Outcome(
                "kontomatik",
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
                continue
            everything = attempt.since is None
            known = account.account_id in windows.cursors
            marks = windows.marks(account.account_id, attempt.since, self._day(attempt.started_at))
            if everything or (narrowed and not known):
                marks["not_before"] = attempt.since.isoformat() if attempt.since else None
            reading.answers.append(
                Answer(
                    outcome=part,
                    account=_with_institution(account.account, institution)
                    | {
                        "account_id": account.account_id,
                        "source_account_id": account.source_account_id,
                        "consent_id": consent.consent_id,
                    },
                    spool=account.spool,  # type: ignore[arg-type]  # made by our own factory
                    depth="full" if everything else "deep",
                    since=attempt.since,
                    as_of=self._day(attempt.started_at),
                    complete=not account.partial,
                    depth_known=not everything,
                    newest_first=account.newest_first,
                    hole=windows.hole(account.account_id, attempt.since),
                    earns_cursor=everything or known or bool(narrowed) or windows.reaches_back(attempt.since),
                    marks=marks,
                )
            )
        if not result.accounts:
            reading.run.outcomes.append(outcome.end("failed", "the bank shows no account under this consent"))


def by_urgency(openings: Iterable[Opening]) -> list[Opening]:
    """The stalest first: those are nearest the day from which 90 days no longer reach back."""
    return sorted(openings, key=_urgency)


def joined(parts: Iterable[Reading]) -> Reading:
    """What was read through all consents, as one."""
    reading = Reading(BankRun("kontomatik"))
    for part in parts:
        _join(reading, part)
    without_repeats(reading)
    return reading


def without_repeats(reading: Reading) -> None:
    """Leave one answer an account: two consents may read the same one, and its rows must not be loaded twice.

    The deepest answer stays, of equal ones the first.
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


def _join(whole: Reading, part: Reading) -> None:
    whole.run.outcomes += part.run.outcomes
    whole.run.imports += part.run.imports
    whole.answers += part.answers
    whole.attempts += part.attempts
    whole.owners |= part.owners
    whole.notes += part.notes


def _with_institution(account: Mapping[str, Any], institution: str) -> dict[str, Any]:
    return {**account, "institution": account.get("institution") or institution}


def _label(account: AccountRead) -> str:
    """The end of its IBAN; where it has none, of its number, which other accounts may end in too, and the start of its id."""
    row = account.account
    kind = "card" if row.get("account_type") == "card" else "account"
    if kind == "account" and row.get("iban"):
        return f"account {tail(row['iban'])}"
    return f"{kind} {tail(row.get('number'))} ({account.account_id.partition(':')[2][:4]})"


def _urgency(opening: Opening) -> tuple[bool, str, str]:
    """What is fresh from a sign-in first, since its session ends in minutes; then the stalest; then what ends soonest."""
    consent = opening.consent
    read, ends = consent.last_import_at, consent.expires_at
    return opening.session is None, read.isoformat() if read else "", ends.isoformat() if ends else ""


def _next_text(next_at: datetime | None) -> str:
    return f"next possible at {next_at:%Y-%m-%d %H:%M} UTC" if next_at else "next possible when the quota allows it"


def _refused(error: SourceError) -> bool:
    """Whether the bank's own word says that it did not begin an import."""
    refusal = isinstance(error, QuotaSpent | Rejected) or error.code in ("JobsQuotaExceeded", *_TOO_MANY_SESSIONS)
    return bool(error.code) and refusal and not isinstance(error, SessionGone)


def _all_from(first_day: date | None) -> str:
    if first_day is None:
        return "all that the bank gives; `connect kontomatik --since` asks for less"
    return f"from {first_day} on, as `connect --since` asked"
