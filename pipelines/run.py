"""The main job: read the banks, settle and load what they showed, build the ledger, check it, publish it."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pipelines.connections import has_vault, kontomatik_client, vault_of
from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, WrongUsage
from pipelines.outcomes import BankRun, Outcome
from pipelines.settings import Settings
from sources._errors import SourceError

if TYPE_CHECKING:
    from pipelines.consents.registry import Vault
    from pipelines.consents.steward import Opening, Tended
    from pipelines.ledger import Published
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


class Progress:
    """Hears how the work goes on. The command line shows it; here it is silence."""

    def stage(self, text: str) -> None:
        """A stage begins, or one more account is being read."""

    def step(self, text: str, done: int, total: int) -> None:
        """One of a known number of steps."""


@dataclass
class Report:
    """All that a run has to tell."""

    run_id: str
    banks: list[BankRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What somebody should know, and is no failure: sources left out, consents that end soon."""
    holes: list[dict[str, Any]] = field(default_factory=list)
    """Days that can no longer be read, of any account, whenever they were noticed."""
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
        return PARTIAL if any(outcome.troubled for outcome in self.outcomes) else GOOD

    @property
    def status(self) -> str:
        """The exit status in a word."""
        return {GOOD: "ok", PARTIAL: "partial", CHECKS_FAILED: "checks_failed"}.get(self.exit_status, "failed")


Openings = Callable[["Vault", "KontomatikClient"], "Sequence[Opening]"]


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
    started = time.perf_counter()
    report = Report(f"r-{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    progress = progress or Progress()
    with ExitStack() as stack:
        vault = _vault(stack, settings, options, openings is not None)
        wanted = _wanted(settings, options, report, vault, openings is not None)
        from pipelines import history as raw
        from pipelines.job import Job

        tended = _tended(settings, vault, report, now) if openings is None else _untended()
        history, publish = stack.enter_context(raw.opened(settings.data_dir))
        job = Job(settings, options, report, history, progress, now, vault, openings, tended)
        readings = job.read(wanted)
        extracted = time.perf_counter()
        job.load(readings)
        publish()
        job.after_publishing()
        if vault is not None:
            from pipelines.consents.steward import warnings

            report.notes += warnings(vault, now())
    loaded = time.perf_counter()
    report.seconds = {"extract": extracted - started, "load": loaded - extracted}
    if not report.all_failed:
        publish_ledger(settings, report, progress)
    ended = time.perf_counter()
    report.seconds |= {"transform": ended - loaded, "total": ended - started}
    return report


def publish_ledger(settings: Settings, report: Report, progress: Progress) -> None:
    """Build, check and publish; a check that fails is in the report."""
    from pipelines.ledger import LedgerRefused, build_and_publish

    try:
        report.published = build_and_publish(
            settings.data_dir, lambda name, done, total: progress.step(f"Ledger: {name}", done, total)
        )
        report.checks = report.published.checks
    except LedgerRefused as refused:
        report.refused = str(refused)
        report.checks = refused.checks


def _untended() -> "Tended":
    from pipelines.consents.steward import Tended

    return Tended()


def _tended(settings: Settings, vault: "Vault | None", report: Report, now: Callable[[], datetime]) -> "Tended":
    """The consents looked after before anything is read: sign-ins left open, revocations and erasures still to be done."""
    from pipelines.consents import steward

    if vault is None:
        return steward.Tended()
    try:
        with kontomatik_client(settings, now) as client:
            tended = steward.tend(vault, client, now())
    except SourceError:
        return steward.Tended()  # a client that cannot even be made is told of when the bank is read
    from pipelines.consents.erase import finish_erasures

    report.notes += finish_erasures(settings, vault, now)
    return tended


def _vault(stack: ExitStack, settings: Settings, options: Options, connecting: bool) -> "Vault | None":
    if options.sources and "kontomatik" not in options.sources:
        return None
    if not settings.kontomatik.configured or not (connecting or has_vault(settings)):
        return None
    return stack.enter_context(vault_of(settings))


HOW_KONTIST = "set sources.kontist.email and sources.kontist.password in .dlt/secrets.toml"
HOW_KONTOMATIK = "set sources.kontomatik.api_key in .dlt/secrets.toml"
HOW_CONSENT = "run `python -m pipelines connect kontomatik`, or `consents add kontomatik` for a token that you have"
OPEN = ("pending", "active", "expiring", "replaced", "revoking")
"""States of a consent that a run has something to do with."""


def _wanted(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[str]:
    """The sources to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking: dict[str, str] = {}
    if not settings.kontist.configured:
        lacking["kontist"] = f"Kontist is not configured: {HOW_KONTIST}"
    if not settings.kontomatik.configured:
        lacking["kontomatik"] = f"Kontomatik is not configured: {HOW_KONTOMATIK}"
    elif not connecting and (vault is None or not vault.consents(source="kontomatik", status=OPEN)):
        lacking["kontomatik"] = f"Kontomatik has no consent that can be used: {HOW_CONSENT}"
    asked = options.sources or SOURCES
    wanted = [source for source in asked if source not in lacking]
    left_out = [lacking[source] for source in asked if source in lacking]
    if options.sources and left_out:
        raise WrongUsage(". ".join(left_out))
    if not wanted:
        raise WrongUsage(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted
