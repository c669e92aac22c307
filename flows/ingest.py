"""Flows that read banks. Each step is one of `pipelines.run.steps.Run`; Prefect adds names, retries, limits and artifacts.

All tasks of a run share its process, its connection and the data directory's lock. A second run finds the lock taken and ends as
`Skipped`; a killed one leaves only files that the next run throws away, and imports that it resumes by their command ids.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task, exponential_backoff
from pydantic import Field

from flows import artifacts
from flows.concurrency import AT_ONCE, place
from flows.guard import guarded, whole
from flows.notices import send_notices
from flows.run_lock import skipped, under_way
from pipelines.errors import CHECKS_FAILED, GOOD, PARTIAL, Busy, Failure
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.sources import NothingToRead
from pipelines.run.steps import Run
from pipelines.run.summary import as_json, remember, sentences
from pipelines.run.tables import account_rows, check_rows
from pipelines.settings import Settings
from pipelines.store.banks import KONTIST, KONTOMATIK
from pipelines.store.lock import held

UNREAD, AWAY, REFUSED = "NotRead", "BankAway", "ChecksFailed"
INCOMPLETE = "Partial"
"""Published, and something could not be read. Of the type `Failed`, since Prefect's pages colour a state by its type alone."""

BankName = Literal["kontist", "kontomatik"]
Reserve = Annotated[int, Field(ge=0, le=4)]
DueHours = Annotated[float, Field(ge=0, le=24)]
WaitSeconds = Annotated[int, Field(ge=0, le=3600)]


def threads(count: int) -> TaskRunner[PrefectFuture[Any]]:
    """Returns a task runner inside the run's process: tasks share the connection and the lock that it holds."""
    return cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(count))


def _is_away(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return state.name == AWAY


def _is_no_refusal(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return state.name != REFUSED


@task(
    task_run_name="{bank}: {name}",
    retries=2,
    retry_delay_seconds=exponential_backoff(backoff_factor=20),
    retry_condition_fn=_is_away,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def read_login(name: str, bank: str, run: Run) -> State[Any]:  # noqa: ARG001  # `bank` is part of the task's name
    """Reads all accounts of one login. Costs no quota, so it is retried when the bank is away."""
    return _read(name, run)


@task(task_run_name="{bank}: {name}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def read_consent(name: str, bank: str, run: Run) -> State[Any]:  # noqa: ARG001  # `bank` is part of the task's name
    """Imports through one consent. Spends one of four imports in 24 hours: never retried by Prefect."""
    with place():
        return _read(name, run)


@task(task_run_name="load and publish raw history", retries=0, cache_policy=NO_CACHE, persist_result=False)
def load(run: Run) -> None:
    """Loads everything that was read into raw history, with its cursors, in one step.

    Never retried: a copy that was loaded by half is thrown away with its run, and the next run resumes the imports.
    """
    with guarded():
        run.load()
        run.publish()


@task(
    task_run_name="build, check and publish the ledger",
    retries=2,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_condition_fn=_is_no_refusal,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ledger(run: Run) -> State[Any]:
    """Builds the ledger. It is a function of raw history, so building it again is harmless."""
    with guarded():
        run.ledger()
    refused = run.report.refused
    return Failed(name=REFUSED, message=refused) if refused else Completed(message="published")


@flow(name="ingest", flow_run_name="ingest", task_runner=threads(AT_ONCE + 1))
def ingest(  # each parameter is a field of Prefect's form, so they are eight and not one value
    sources: list[BankName] = [],  # noqa: B006  # Prefect's form shows the default; nobody changes it
    since: date | None = None,
    full_refresh: bool = False,
    accept_removals: list[str] = [],  # noqa: B006  # as above
    reserve: Reserve = 0,
    due_hours: DueHours = 5,
    wait_seconds: WaitSeconds = 0,
    data_dir: str | None = None,
) -> State[Any]:
    """Reads all banks, builds the ledger, checks it, publishes it. As `python -m pipelines run --due-hours 5`.

    Args:
        sources: Only these banks; empty: every bank that is configured.
        since: Read again from this day.
        full_refresh: Read all that the banks still show.
        accept_removals: Accounts (their ids) whose bank removed or changed rows that are held for confirmation: accept that.
        reserve: Imports of each account's four in 24 hours that are reserved for manual use.
        due_hours: A consent whose last import is younger than this is skipped, in hours; 0: every consent is due.
        wait_seconds: How long to wait for a run that holds the data directory, before this one is skipped.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
    """
    options = Options(
        tuple(sources),
        since=since,
        full_refresh=full_refresh,
        accept_removals=tuple(accept_removals),
        reserve=reserve,
        due_after=timedelta(hours=due_hours),
    )
    return read_banks("ingest", options, wait_seconds, data_dir)


@flow(name="reuse-multiple-access", flow_run_name="reuse", task_runner=threads(AT_ONCE + 1))
def reuse_multiple_access(
    reserve: Reserve = 0,
    due_hours: DueHours = 5,
    wait_seconds: WaitSeconds = 0,
    data_dir: str | None = None,
) -> State[Any]:
    """Imports through the consents that are due, the most urgent first, within their quota; then ledger, checks, publish.

    As `python -m pipelines run --source kontomatik --due-hours 5`. Without a consent there is nothing to do.

    Args:
        reserve: Imports of each account's four in 24 hours that are reserved for manual use.
        due_hours: A consent whose last import is younger than this is skipped, in hours; 0: every consent is due.
        wait_seconds: How long to wait for a run that holds the data directory, before this one is skipped.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
    """
    options = Options((KONTOMATIK.name,), reserve=reserve, due_after=timedelta(hours=due_hours))
    return read_banks("reuse", options, wait_seconds, data_dir, optional=True)


@flow(name="kontist-full-read", flow_run_name="kontist-full-read", task_runner=threads(2))
def kontist_full_read(wait_seconds: WaitSeconds = 1800, data_dir: str | None = None) -> State[Any]:
    """Reads all of Kontist again, to catch edits and deletions of old rows. As `run --source kontist --full-refresh`.

    Args:
        wait_seconds: How long to wait for a run that holds the data directory, before this one is skipped.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
    """
    options = Options((KONTIST.name,), full_refresh=True)
    return read_banks("kontist-full-read", options, wait_seconds, data_dir, optional=True)


def read_banks(name: str, options: Options, wait_seconds: int, data_dir: str | None, *, optional: bool = False) -> State[Any]:
    """Runs the steps of a run as tasks; returns the state that the report means. `optional`: nothing to read is no failure."""
    with under_way(data_dir) as settings:
        progress = artifacts.Shown("kontoledger-progress")
        try:
            with (
                held(settings.data_dir, name, wait_seconds),
                Run(settings, options, progress=progress, wait_for_reads_on_exit=True) as run,
            ):
                artifacts.named(f"{name}: {_banks(run)}")
                _read_all(run, progress)
                progress.reached(60, "Loading")
                load(whole(run))
                built = ledger(whole(run), return_state=True)
                progress.reached(100, "Done")
                remember(settings.data_dir, as_json(run.report))
            if not built.is_completed() and run.report.refused is None:
                raise Failure(
                    f"The ledger could not be built: {str(built.message).rstrip('.')}", "Raw history is loaded and safe"
                )
        except Busy as busy:
            return _skipped(name, str(busy), settings)
        except NothingToRead as nothing:
            if optional:
                return _skipped(name, str(nothing), settings)
            raise
        _show(settings, run.report)
        return _ended(run.report)


def _read_all(run: Run, progress: artifacts.Shown) -> None:
    progress.reached(0, f"Reading {_banks(run)}")
    futures: list[PrefectFuture[Any]] = [
        (read_consent if one.bank.by_consent else read_login).submit(one.name, one.bank.title, whole(run)) for one in run.tasks
    ]
    for done, future in enumerate(futures, 1):
        wait([future])
        progress.reached(60 * done / len(futures), f"{done} of {len(futures)} read")
    for future in futures:
        if future.state.name not in (UNREAD, AWAY):
            future.result()  # what is not the bank's doing, a full disk or a bug, ends the run


def _banks(run: Run) -> str:
    counts = Counter(one.institution for one in run.tasks)
    counts.update(bank.title for bank in run.listing_failed)
    return ", ".join(f"{bank} ×{count}" if count > 1 else bank for bank, count in counts.items()) or "nothing is due"


def _read(name: str, run: Run) -> State[Any]:
    with guarded():
        outcomes = run.read(name)
    ended = [outcome for outcome in outcomes if outcome.finished_at is not None]  # the others are ended by `load`
    failed = [outcome for outcome in ended if outcome.status == "failed"]
    if not failed:
        return Completed(message=f"{len(outcomes)} accounts")
    reasons = "; ".join(f"{outcome.account}: {outcome.reason}" for outcome in failed)
    return Failed(name=AWAY if any(outcome.retryable for outcome in failed) else UNREAD, message=reasons)


def _show(settings: Settings, report: Report) -> None:
    logger = get_run_logger()
    for sentence in sentences(report):
        (logger.warning if sentence.startswith("!") else logger.info)(sentence)
    artifacts.table("kontoledger-accounts", f"Run {report.run_id}: {report.status}", account_rows(report, settings.data_dir))
    passed = sum(check.passed for check in report.checks)
    if report.published and report.published.page:
        artifacts.link("kontoledger-report", "The report page, on the worker", report.published.page.as_uri(), "report.html")
    artifacts.table("kontoledger-checks", f"Failed checks of run {report.run_id}; {passed} passed", check_rows(report))
    send_notices(settings, report=report)


def _skipped(name: str, reason: str, settings: Settings) -> State[Any]:
    artifacts.named(f"{name}: skipped")
    artifacts.table("kontoledger-accounts", f"Skipped: {reason}", account_rows(None, settings.data_dir))
    return skipped(reason)


def _ended(report: Report) -> State[Any]:
    message = "; ".join(_in_short(report))
    match report.exit_status:
        case status if status == GOOD:
            return Completed(message=message)
        case status if status == PARTIAL:
            return Failed(name=INCOMPLETE, message=message)
        case status if status == CHECKS_FAILED:
            return Failed(name=REFUSED, message=message)
        case _:
            return Failed(message=message)


def _in_short(report: Report) -> Sequence[str]:
    counts = [bank.counts for bank in report.banks]
    new, changed, removed = (sum(getattr(one, name) for one in counts) for name in ("new", "changed", "removed"))
    troubles = [f"{outcome.institution} {outcome.account}: {outcome.reason}" for outcome in report.outcomes if outcome.troubled]
    refused = [report.refused] if report.refused else []
    return [f"{new} new, {changed} changed, {removed} removed", *refused, *troubles]
