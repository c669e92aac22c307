"""The main job: reads the banks, loads what they showed, builds the ledger, checks it, publishes it."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from pipelines.consents.clients import has_vault, kontomatik_client, vault_of
from pipelines.consents.clock import check
from pipelines.errors import Failure, WrongUsage
from pipelines.read.deadline import Deadline
from pipelines.read.options import Openings, Options, Progress, utc_now
from pipelines.read.windows import refuse_a_day_to_come
from pipelines.run.recorder import Recorder
from pipelines.run.report import Report
from pipelines.run.sources import refuse_outside_cells, wanted_banks
from pipelines.settings import Settings
from pipelines.store import unfinished
from pipelines.store.banks import BANKS, KONTIST, KONTOMATIK, Bank
from pipelines.store.losses import (
    HistoryLost,
    missing_ledger,
    missing_raw,
    missing_vault,
    other_ledger,
    other_vault,
    refuse,
    swapped,
)
from sources._errors import SourceError

if TYPE_CHECKING:
    from pipelines.consents.upkeep import Maintenance
    from pipelines.consents.vault import Vault
    from pipelines.read.bank_reader import ReadTask
    from pipelines.read.outcome import BankRun, Outcome
    from pipelines.store.raw_copy import HistoryKeeper


class Run:
    """One run, step by step, for whoever drives it: `run` below, or a scheduler that makes each step a task of its own.

        with held(settings.data_dir, "run"), Run(settings, options) as steps:
            steps.read_all()        # or steps.read(task.name) for each of steps.tasks, in any order and in parallel
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
        wait_for_reads_on_exit: bool = False,
        keeper: "HistoryKeeper | None" = None,
    ) -> None:
        """Sets up a run; nothing is opened yet.

        A run of a fleet's cell needs the `keeper` that its lease gives.

        `openings` chooses what is read of Kontomatik; by default every consent that can be used. `wait_for_reads_on_exit`: this
        process lives longer than the run, so the lock is only given back when no read is under way any more.
        """
        self.report = Report(f"r-{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        self._settings = settings
        self._options = options
        self._openings = openings
        self._progress = progress or Progress()
        self._now = now
        self._wait_for_reads_on_exit = wait_for_reads_on_exit
        self._keeper = keeper
        self._stack = ExitStack()
        self._begun = self._mark = time.perf_counter()
        self._deadline = Deadline(settings.run_deadline)
        self._stage: Literal["reading", "broken", "loaded", "published"] = "reading"
        self._attempts: list[tuple[str, str]] = []
        self._loaded: list[str | None] = []

    def __enter__(self) -> "Run":
        """Maintains the consents, opens a copy of raw history, and lists what is to be read.

        Raises `NothingToRead` when there is nothing, `ClockWrong` when this machine's clock cannot be right, `HistoryLost` when a
        file is missing or of another history, another `Failure` when raw history cannot be opened.
        """
        self._recorder = Recorder(self._settings.data_dir, self.report, self._now)
        try:
            self._open()
        except (WrongUsage, HistoryLost):  # a person has to correct something first: no run has begun
            raise
        except BaseException as error:
            self._recorder.end(error)
            raise
        self._recorder.keep()
        return self

    def _open(self) -> None:
        from pipelines.read.bank_reader import Reads
        from pipelines.read.context import RunContext
        from pipelines.read.tasks import ReadTasks
        from pipelines.run import raw_load
        from pipelines.store import load, raw_copy
        from pipelines.store.ledger import check_seeds

        settings, options = self._settings, self._options
        refuse_outside_cells(self._settings, self._options, self._keeper)
        refuse_a_day_to_come("--since", options.since, self._now)
        with ExitStack() as stack:
            connecting = self._openings is not None
            has_one = connecting or options.start_new or has_vault(settings)
            vault = stack.enter_context(vault_of(settings, start_new=options.start_new)) if has_one else None
            if not options.start_new:
                _refuse_a_loss(settings, vault)
            stored = vault is not None and bool(vault.consents())
            check(settings, self._now, vault, ask=stored)
            if vault is not None:
                vault.age(self._now())
            wanted = wanted_banks(settings, options, self.report, vault, connecting)
            check_seeds(settings.data_dir)
            maintenance = None if connecting or vault is None else self._maintained(vault)
            opened = raw_copy.opened(settings.data_dir, start_new=options.start_new, memory=settings.memory_limit)
            history, self._publish = stack.enter_context(opened)
            self._context = RunContext(settings, options, history, vault, self._progress, self._now)
            load.create_tables(history)
            self._states = {bank.name: load.cursors(history, bank.name) for bank in BANKS}
            raw_load.refuse_unknown_accounts(self._context, wanted)
            reads = Reads(
                context=self._context,
                states=self._states,
                maintenance=maintenance,
                openings=self._openings,
                deadline=self._deadline,
            )
            self._tasks = ReadTasks(reads)
            stack.callback(lambda: self._tasks.close(wait=self._wait_for_reads_on_exit))
            self._tasks.find(wanted)
            self._stack = stack.pop_all()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        """Closes everything; what is not published is thrown away. Records how the run has ended."""
        try:
            return self._stack.__exit__(kind, error, trace)
        finally:
            self._recorder.end(error)

    @property
    def tasks(self) -> "Sequence[ReadTask]":
        """Returns what is read on its own: Kontist's login, each consent of Kontomatik, the most urgent first."""
        return list(self._tasks.listed.values())

    @property
    def listing_failed(self) -> "Mapping[Bank, BankRun]":
        """Returns the banks whose tasks could not be listed, and how that failed."""
        return self._tasks.listing_failed

    def read(self, name: str) -> "Sequence[Outcome]":
        """Reads one task; returns an outcome an account. Raises `RawBroken` when the disk refuses."""
        return self._tasks.read(name)

    def read_all(self) -> None:
        """Reads every task, all banks at once."""
        self._tasks.read_all()

    def load(self) -> None:
        """Compares what was read with raw history, and loads the difference into the run's own copy."""
        from pipelines.run.raw_load import load_readings

        if self._stage == "reading":
            self._stage = "broken"  # until it has come to its end: a copy loaded by half is never published
            self._time("extract")
            readings = self._tasks.joined()
            self._attempts = [attempt for reading in readings.values() for attempt in reading.attempts]
            _give_back_memory()
            self._loaded = [answer.outcome.account_id for reading in readings.values() for answer in reading.answers]
            load_readings(self._context, self.report, self._states, readings)
            self._stage = "loaded"

    def publish(self) -> None:
        """Renames the copy into place, then hands over: renewed consents take over, and warnings are due."""
        if self._stage == "published":
            return
        if self._stage != "loaded":
            raise Failure("Raw history was not loaded to its end", "Run again")
        context = self._context
        if context.vault is not None:  # before: a vault that knows one history too many refuses nothing
            context.vault.belongs_to(context.history.identity.history_id, self._now())
        self._publish()
        if self._keeper is not None:  # else nothing that follows is recorded, and the next run does it again
            self._keeper.keep()
        self._stage = "published"
        unfinished.forget(self._settings.data_dir, self._loaded)
        if context.vault is not None:
            from pipelines.run.handover import hand_over

            hand_over(context, context.vault, self.report, self._attempts)
        self._stack.close()
        self._time("load")

    def ledger(self) -> None:
        """Builds the ledger, checks it, publishes it, unless nothing could be read. A check that fails is in the report."""
        self._mark = time.perf_counter()
        if not self.report.all_failed:
            _give_back_memory()
            self._recorder.keep()
            publish_ledger(self._settings, self.report, self._progress)
        from pipelines.run.accounts import published_accounts
        from pipelines.run.freshness import stale_accounts

        listed = self.report.accounts = published_accounts(self._settings.data_dir / "ledger.duckdb")
        if self._openings is None:
            just_read = {outcome.account_id for outcome in self.report.outcomes if outcome.status == "complete"}
            self.report.stale = stale_accounts(self._settings, self._options, listed, self._now(), just_read=just_read)
        self._time("transform")
        self.report.seconds["total"] = self._mark - self._begun

    def _maintained(self, vault: "Vault") -> "Maintenance":
        """Maintains the consents before anything is read: open sign-ins, revocations and erasures that are still to be done."""
        from pipelines.consents import kontist_login, upkeep
        from pipelines.consents.erase import finish_erasures

        settings, now = self._settings, self._now
        maintenance = upkeep.Maintenance()
        # a client that cannot even be made is reported when its bank is read
        if self._options.asks_for(KONTOMATIK) and settings.kontomatik.configured:
            with suppress(SourceError), kontomatik_client(settings, now) as client:
                maintenance = upkeep.maintain(vault, client, now())
        if self._options.asks_for(KONTIST):
            with suppress(SourceError):
                maintenance.troubles += kontist_login.maintain(vault, settings, now())
        self.report.notes += finish_erasures(settings, vault, now, self._keeper)
        return maintenance

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
    keeper: "HistoryKeeper | None" = None,
) -> Report:
    """Reads, loads, builds, checks and publishes; the caller holds the data directory's lock.

    `openings` chooses what is read of Kontomatik; by default every consent that can be used. Raises `WrongUsage` when there is
    nothing to read, another `Failure` when raw history or the ledger cannot be written. Failures of single banks, consents and
    accounts are in the report.
    """
    with Run(settings, options, openings=openings, progress=progress, now=now, keeper=keeper) as steps:
        steps.read_all()
        steps.load()
        steps.publish()
        steps.ledger()
    return steps.report


def publish_ledger(settings: Settings, report: Report, progress: Progress) -> None:
    """Builds, checks and publishes the ledger; a check that fails is in the report."""
    from pipelines.report_page.page_options import wanted_page
    from pipelines.run.closed_changes import closed_changes
    from pipelines.store.ledger import LedgerRefused, build_and_publish

    ledger = settings.data_dir / "ledger.duckdb"
    known = set(closed_changes(ledger))
    try:
        report.published = build_and_publish(
            settings.data_dir,
            lambda name, done, total: progress.step(f"Ledger: {name}", done, total),
            memory=settings.memory_limit,
            keep_unchanged=True,
            page=wanted_page(settings),
            run_id=report.run_id,
        )
        report.checks = report.published.checks
        report.notes += report.published.notices
        report.closed_changes = [one for one in closed_changes(ledger) if one not in known]
    except LedgerRefused as refused:
        report.refused = str(refused)
        report.checks = refused.checks


def _give_back_memory() -> None:
    """Returns to the system what an earlier step has freed: Arrow and the C library of Linux keep it. DuckDB needs it next."""
    import ctypes

    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _refuse_a_loss(settings: Settings, vault: "Vault | None") -> None:
    """Raises `HistoryLost` where a file of the data directory is missing, or belongs to another history."""
    data_dir = settings.data_dir
    refuse(missing_raw(data_dir, vault), missing_vault(settings), missing_ledger(data_dir))
    refuse(swapped(data_dir), other_vault(data_dir, vault), other_ledger(data_dir))
