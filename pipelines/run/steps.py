"""The main job: read the banks, settle and load what they showed, build the ledger, check it, publish it."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from pipelines.consents.clients import has_vault, kontomatik_client, vault_of
from pipelines.consents.clock import check
from pipelines.errors import Failure
from pipelines.read.deadline import Deadline
from pipelines.read.options import SOURCES, Openings, Options, Progress, utc_now
from pipelines.read.outcome import Outcome
from pipelines.read.windows import refuse_a_day_to_come
from pipelines.run.report import Report
from pipelines.run.sources import wanted_sources
from pipelines.settings import Settings
from pipelines.store.losses import missing_ledger, missing_raw, missing_vault, other_ledger, other_vault, refuse, swapped
from sources._errors import SourceError

if TYPE_CHECKING:
    from pipelines.consents.upkeep import Tended
    from pipelines.consents.vault import Vault
    from pipelines.read.tasks import ReadTask


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
            wanted = wanted_sources(self._settings, self._options, self.report, self._vault, connecting)
            from pipelines.run.job import Job
            from pipelines.store import raw_copy as raw
            from pipelines.store.ledger import check_seeds

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
    def units(self) -> "Sequence[ReadTask]":
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
            from pipelines.consents.upkeep import note_warnings, warnings

            by_itself = ("kontist",) if self._settings.kontist.configured else ()
            note_warnings(self._vault, self._now())
            self.report.notes += warnings(self._vault, self._now(), configured=by_itself)
        self._stack.close()
        self._time("load")

    def ledger(self) -> None:
        """Build the ledger, check it, publish it, unless nothing at all could be read. A check that fails is in the report."""
        self._mark = time.perf_counter()
        if not self.report.all_failed:
            publish_ledger(self._settings, self.report, self._progress)
        if self._openings is None:
            from pipelines.run.freshness import stale_accounts

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
    from pipelines.store.ledger import LedgerRefused, build_and_publish

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
    from pipelines.consents.upkeep import Tended

    return Tended()


def _tended(settings: Settings, options: Options, vault: "Vault | None", report: Report, now: Callable[[], datetime]) -> "Tended":
    """The consents looked after before anything is read: sign-ins left open, revocations and erasures still to be done."""
    from pipelines.consents import kontist_login, upkeep

    tended, asked = upkeep.Tended(), options.sources or SOURCES
    if vault is None:
        return tended
    # a client that cannot even be made is told of when its bank is read
    if "kontomatik" in asked and settings.kontomatik.configured:
        with suppress(SourceError), kontomatik_client(settings, now) as client:
            tended = upkeep.tend(vault, client, now())
    if "kontist" in asked:
        with suppress(SourceError):
            tended.troubles += kontist_login.tend(vault, settings, now())
    from pipelines.consents.erase import finish_erasures

    report.notes += finish_erasures(settings, vault, now)
    return tended
