"""The main job: read the banks, settle and load what they showed, build the ledger, check it, publish it."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pipelines.clock import check
from pipelines.connections import has_vault, kontomatik_client, vault_of
from pipelines.deadline import Deadline
from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, Failure, WrongUsage
from pipelines.losses import missing_ledger, missing_raw, missing_vault, other_ledger, other_vault, refuse, swapped
from pipelines.outcomes import BankRun, Outcome
from pipelines.settings import Settings
from pipelines.windows import refuse_a_day_to_come
from sources._errors import SourceError

if TYPE_CHECKING:
    from pipelines.consents.registry import Vault
    from pipelines.consents.steward import Opening, Tended
    from pipelines.ledger import Published
    from pipelines.units import Unit
    from sources.kontomatik.client import KontomatikClient
    from transforms.checks import CheckResult

SOURCES = ("kontist", "kontomatik")


def utc_now() -> datetime:
    """The time, as everything here takes it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Options:
    """What the person asked of this run."""

    sources: tuple[str, ...] = ()
    since: date | None = None
    full_refresh: bool = False
    accept_removals: tuple[str, ...] = ()
    reserve: int = 0
    """Imports of each account's four in 24 hours that are kept back for people."""
    due_after: timedelta | None = None
    """Only consents that were last imported at least so long ago; None: all of them."""
    start_new: bool = False
    """Begin anew what is missing of raw history, vault and ledger, and keep together what is there."""


class Progress:
    """Hears how the work goes on. The command line shows it; here it is silence."""

    def stage(self, text: str) -> None:
        """A stage begins, or one more account is being read."""

    def step(self, text: str, done: int, total: int) -> None:
        """One of a known number of steps."""

    def waits(self, text: str) -> None:
        """The work waits, for a minute or more."""
        self.stage(text)


@dataclass
class Report:
    """All that a run has to tell."""

    run_id: str
    banks: list[BankRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What somebody should know, and is no failure: sources left out, consents that end soon."""
    holes: list[dict[str, Any]] = field(default_factory=list)
    """Days that can no longer be read, of any account, whenever they were noticed."""
    stale: list[dict[str, Any]] = field(default_factory=list)
    """Accounts that should be read and were not for too long (`stale_hours`), this run included."""
    published: "Published | None" = None
    checks: "list[CheckResult]" = field(default_factory=list)
    refused: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all banks."""
        return [outcome for bank in self.banks for outcome in bank.outcomes]

    @property
    def all_failed(self) -> bool:
        """Whether there was something to read and nothing of it could be."""
        return bool(self.outcomes) and all(outcome.status == "failed" for outcome in self.outcomes)

    @property
    def exit_status(self) -> int:
        """As the contract has it."""
        if self.refused is not None:
            return CHECKS_FAILED
        if self.published is None:
            return FAILED
        return PARTIAL if self.stale or any(outcome.troubled for outcome in self.outcomes) else GOOD

    @property
    def status(self) -> str:
        """The exit status in a word."""
        return {GOOD: "ok", PARTIAL: "partial", CHECKS_FAILED: "checks_failed"}.get(self.exit_status, "failed")


class NothingToRead(WrongUsage):
    """No bank is configured, or none of those that were asked for."""


Openings = Callable[["Vault", "KontomatikClient"], "Sequence[Opening]"]


class Run:
    """One run, step by step, for whoever drives it: `run` below, or a scheduler that makes each step a task of its own.

        with held(settings.data_dir, "run"), Run(settings, options) as steps:
            steps.read_all()        # or steps.read(name) for each of steps.units, in any order and in parallel
            steps.load()
            steps.publish()
            steps.ledger()

    Every step may be repeated, and does nothing the second time. Leaving the block early leaves what is published as it was.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        *,
        openings: Openings | None = None,
        progress: Progress | None = None,
        now: Callable[[], datetime] = utc_now,
        lives_on: bool = False,
    ) -> None:
        """`openings` chooses what is read of Kontomatik; by default every consent that can be used.

        `lives_on`: the process goes on when the run is broken off, so reads under way are waited for before the lock may go.
        """
        self.report = Report(f"r-{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        self._settings = settings
        self._options = options
        self._openings = openings
        self._progress = progress or Progress()
        self._now = now
        self._lives_on = lives_on
        self._stack = ExitStack()
        self._begun = self._mark = time.perf_counter()
        self._deadline = Deadline(settings.run_deadline)
        self._stage: Literal["reading", "broken", "loaded", "published"] = "reading"

    def __enter__(self) -> "Run":
        """Look after the consents and find what is to be read.

        Raises `NothingToRead` when there is nothing, `ClockWrong` when this machine's clock is not to be believed, `HistoryLost`
        when a file is missing or of another history, another `Failure` when raw history cannot be opened.
        """
        refuse_a_day_to_come("--since", self._options.since, self._now)
        with ExitStack() as stack:
            connecting = self._openings is not None
            start_new = self._options.start_new
            has_one = connecting or start_new or has_vault(self._settings)
            self._vault = stack.enter_context(vault_of(self._settings, start_new=start_new)) if has_one else None
            if not start_new:
                self._refuse_a_loss()
            stored = self._vault is not None and bool(self._vault.consents())
            check(self._settings, self._now, self._vault, ask=stored)
            if self._vault is not None:
                self._vault.age(self._now())
            wanted = _wanted(self._settings, self._options, self.report, self._vault, connecting)
            from pipelines import history as raw
            from pipelines.job import Job
            from pipelines.ledger import check_seeds

            check_seeds(self._settings.data_dir)

            tended = _untended() if connecting else _tended(self._settings, self._options, self._vault, self.report, self._now)
            history, self._publish = stack.enter_context(raw.opened(self._settings.data_dir, start_new=start_new))
            self._identity = history.identity
            self._job = Job(
                self._settings,
                self._options,
                self.report,
                history,
                self._progress,
                self._now,
                self._vault,
                self._openings,
                tended,
                self._deadline,
            )
            self._job.prepare(wanted)
            stack.callback(lambda: self._job.units.close(wait=self._lives_on))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        """Close everything; what is not published is thrown away."""
        return self._stack.__exit__(kind, error, trace)

    @property
    def units(self) -> "Sequence[Unit]":
        """What is read on its own: Kontist's login, each consent of Kontomatik, the most urgent first."""
        return list(self._job.units.listed.values())

    def read(self, name: str) -> "Sequence[Outcome]":
        """Read one unit; an outcome an account says what came of it. Raises `RawBroken` when the disk refuses."""
        return self._job.units.read(name)

    def read_all(self) -> None:
        """Read every unit, both banks at once."""
        self._job.units.read_all()

    def load(self) -> None:
        """Settle and load what was read, into the run's own copy of raw history."""
        if self._stage == "reading":
            self._stage = "broken"  # until it has come to its end: a copy loaded by half is never published
            self._time("extract")
            self._job.load()
            self._stage = "loaded"

    def publish(self) -> None:
        """Rename the copy into place; then renewed consents take over, and warnings are due."""
        if self._stage == "published":
            return
        if self._stage != "loaded":
            raise Failure("Raw history was not loaded to its end", "Run again")
        if self._vault is not None:  # before: a vault that knows one history too many refuses nothing
            self._vault.belongs_to(self._identity.history_id, self._now())
        self._publish()
        self._stage = "published"
        self._job.after_publishing()
        if self._vault is not None:
            from pipelines.consents.steward import warnings

            by_itself = ("kontist",) if self._settings.kontist.configured else ()
            self.report.notes += warnings(self._vault, self._now(), configured=by_itself)
        self._stack.close()
        self._time("load")

    def ledger(self) -> None:
        """Build the ledger, check it, publish it, unless nothing at all could be read. A check that fails is in the report."""
        self._mark = time.perf_counter()
        if not self.report.all_failed:
            publish_ledger(self._settings, self.report, self._progress)
        if self._openings is None:
            from pipelines.freshness import stale_accounts

            self.report.stale = stale_accounts(
                self._settings,
                self._options.sources or SOURCES,
                self._now(),
                just_read={outcome.account_id for outcome in self.report.outcomes if outcome.status == "complete"},
                due_after=self._options.due_after,
            )
        self._time("transform")
        self.report.seconds["total"] = self._mark - self._begun

    def _refuse_a_loss(self) -> None:
        data_dir = self._settings.data_dir
        refuse(missing_raw(data_dir, self._vault), missing_vault(self._settings), missing_ledger(data_dir))
        refuse(swapped(data_dir), other_vault(data_dir, self._vault), other_ledger(data_dir))

    def _time(self, stage: str) -> None:
        before, self._mark = self._mark, time.perf_counter()
        self.report.seconds[stage] = self._mark - before


def run(
    settings: Settings,
    options: Options,
    *,
    openings: Openings | None = None,
    progress: Progress | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Report:
    """Read, load, build, check, publish; the caller holds the data directory's lock.

    `openings` chooses what is read of Kontomatik; by default every consent that can be used. Raises `WrongUsage` when there is
    nothing to read, another `Failure` when raw history or the ledger cannot be written. What single banks, consents and
    accounts failed at is in the report.
    """
    with Run(settings, options, openings=openings, progress=progress, now=now) as steps:
        steps.read_all()
        steps.load()
        steps.publish()
        steps.ledger()
    return steps.report


def publish_ledger(settings: Settings, report: Report, progress: Progress) -> None:
    """Build, check and publish; a check that fails is in the report."""
    from pipelines.ledger import LedgerRefused, build_and_publish

    try:
        report.published = build_and_publish(
            settings.data_dir, lambda name, done, total: progress.step(f"Ledger: {name}", done, total)
        )
        report.checks = report.published.checks
        report.notes += report.published.notices
    except LedgerRefused as refused:
        report.refused = str(refused)
        report.checks = refused.checks


def _untended() -> "Tended":
    from pipelines.consents.steward import Tended

    return Tended()


def _tended(settings: Settings, options: Options, vault: "Vault | None", report: Report, now: Callable[[], datetime]) -> "Tended":
    """The consents looked after before anything is read: sign-ins left open, revocations and erasures still to be done."""
    from pipelines.consents import kontist, steward

    tended, asked = steward.Tended(), options.sources or SOURCES
    if vault is None:
        return tended
    # a client that cannot even be made is told of when its bank is read
    if "kontomatik" in asked and settings.kontomatik.configured:
        with suppress(SourceError), kontomatik_client(settings, now) as client:
            tended = steward.tend(vault, client, now())
    if "kontist" in asked:
        with suppress(SourceError):
            tended.troubles += kontist.tend(vault, settings, now())
    from pipelines.consents.erase import finish_erasures

    report.notes += finish_erasures(settings, vault, now)
    return tended


HOW_KONTIST = "run `python -m pipelines connect kontist`, or set sources.kontist.email and .password in .dlt/secrets.toml"
HOW_BASIC = (
    'sources.kontist.auth is "basic", which uses no stored login: set sources.kontist.email and .password, or set it to "jwt"'
)
HOW_KONTOMATIK = "set sources.kontomatik.api_key in .dlt/secrets.toml"
HOW_CONSENT = "run `python -m pipelines connect kontomatik`, or `consents add kontomatik` for a token that you have"
OPEN = ("pending", "active", "expiring", "replaced", "revoking")
"""States of a consent that a run has something to do with."""


def _wanted(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[str]:
    """The sources to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking: dict[str, str] = {}
    if not settings.kontist.configured and (settings.kontist.auth != "jwt" or not _has_work(vault, "kontist")):
        lacking["kontist"] = f"Kontist is not configured: {HOW_KONTIST if settings.kontist.auth == 'jwt' else HOW_BASIC}"
    if not settings.kontomatik.configured:
        lacking["kontomatik"] = f"Kontomatik is not configured: {HOW_KONTOMATIK}"
    elif not connecting and not _has_work(vault, "kontomatik"):
        lacking["kontomatik"] = f"Kontomatik has no consent that can be used: {HOW_CONSENT}"
    asked = options.sources or SOURCES
    wanted = [source for source in asked if source not in lacking]
    left_out = [lacking[source] for source in asked if source in lacking]
    if options.sources and left_out:
        raise NothingToRead(". ".join(left_out))
    if not wanted:
        raise NothingToRead(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted


def _has_work(vault: "Vault | None", source: str) -> bool:
    """Whether a consent is stored that a run has something to do with: it can be used, ended or erased, or it is missed."""
    from pipelines.consents.ended import dead_feeds
    from pipelines.consents.kontist import ended_login

    if vault is not None and (ended_login(vault) is not None if source == "kontist" else dead_feeds(vault)):
        return True
    stored = vault.consents(source=source) if vault is not None else []
    return any(one.status in OPEN or (one.erase_asked_at and one.status != "erased") for one in stored)
