"""The main job: read the banks, settle and load what they showed, build the ledger, check it, publish it."""

import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipelines.errors import CHECKS_FAILED, FAILED, GOOD, PARTIAL, RawBroken, WrongUsage
from pipelines.outcomes import BankRun, Outcome
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines import read_kontist, read_kontomatik
    from pipelines.consents.registry import Vault
    from pipelines.history import History
    from pipelines.ledger import Published
    from pipelines.load import Package
    from sources.kontomatik.client import KontomatikClient
    from transforms.checks import CheckResult

SOURCES = ("kontist", "kontomatik")
BANKS_DAY = ZoneInfo("Europe/Berlin")
"""The day that all of our banks are on: Berlin, Warsaw and Prague share their clock."""


def utc_now() -> datetime:
    """The time, as everything here takes it."""
    return datetime.now(UTC)


def banks_day(moment: datetime) -> date:
    """The calendar day at the banks."""
    return moment.astimezone(BANKS_DAY).date()


@dataclass(frozen=True)
class Options:
    """What the person asked of this run."""

    sources: tuple[str, ...] = ()
    since: date | None = None
    full_refresh: bool = False
    accept_removals: tuple[str, ...] = ()


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
    """Sources that were left out, and why."""
    published: "Published | None" = None
    checks: "list[CheckResult]" = field(default_factory=list)
    refused: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all banks."""
        return [outcome for bank in self.banks for outcome in bank.outcomes]

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


Openings = Callable[["Vault", "KontomatikClient"], "Sequence[read_kontomatik.Opening]"]


def run(
    settings: Settings,
    options: Options,
    *,
    openings: Openings | None = None,
    progress: Progress | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Report:
    """Read, load, build, check, publish; the caller holds the data directory's lock.

    `openings` chooses what is read of Kontomatik; by default every active consent. Raises `WrongUsage` when there is nothing to
    read, another `Failure` when raw history or the ledger cannot be written. What single banks, consents and accounts failed at
    is in the report.
    """
    started = time.perf_counter()
    report = Report(f"r-{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    progress = progress or Progress()
    with ExitStack() as stack:
        vault = _vault(stack, settings, options, openings is not None)
        wanted = _wanted(settings, options, report, vault, openings is not None)
        from pipelines import history as raw

        history, publish = stack.enter_context(raw.opened(settings.data_dir))
        job = _Job(settings, options, report, history, progress, now, vault, openings)
        readings = job.read(wanted)
        extracted = time.perf_counter()
        job.load(readings)
        publish()
        job.after_publishing()
    loaded = time.perf_counter()
    report.seconds = {"extract": extracted - started, "load": loaded - extracted}
    if any(outcome.status != "failed" for outcome in report.outcomes):
        _publish_ledger(settings.data_dir, report, progress)
    ended = time.perf_counter()
    report.seconds |= {"transform": ended - loaded, "total": ended - started}
    return report


def _publish_ledger(data_dir: Path, report: Report, progress: Progress) -> None:
    from pipelines.ledger import LedgerRefused, build_and_publish

    try:
        report.published = build_and_publish(data_dir, lambda name, done, total: progress.step(f"Ledger: {name}", done, total))
        report.checks = report.published.checks
    except LedgerRefused as refused:
        report.refused = str(refused)
        report.checks = refused.checks


def _vault(stack: ExitStack, settings: Settings, options: Options, connecting: bool) -> "Vault | None":
    if options.sources and "kontomatik" not in options.sources:
        return None
    if not settings.kontomatik.configured:
        return None
    if not connecting and not (settings.data_dir / "vault.sqlite").exists():
        return None
    from pipelines.consents.registry import Vault

    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key)
    stack.callback(vault.close)
    return vault


HOW_KONTIST = "set sources.kontist.email and sources.kontist.password in .dlt/secrets.toml"
HOW_KONTOMATIK = "set sources.kontomatik.api_key in .dlt/secrets.toml"
HOW_CONSENT = "run `python -m pipelines connect kontomatik --mock`, or `consents add kontomatik` for a token that you have"


def _wanted(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[str]:
    """The sources to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking: dict[str, str] = {}
    if not settings.kontist.configured:
        lacking["kontist"] = f"Kontist is not configured: {HOW_KONTIST}"
    if not settings.kontomatik.configured:
        lacking["kontomatik"] = f"Kontomatik is not configured: {HOW_KONTOMATIK}"
    elif not connecting and (vault is None or not vault.consents(source="kontomatik", status=("active", "pending"))):
        lacking["kontomatik"] = f"Kontomatik has no active consent: {HOW_CONSENT}"
    asked = options.sources or SOURCES
    wanted = [source for source in asked if source not in lacking]
    left_out = [lacking[source] for source in asked if source in lacking]
    if options.sources and left_out:
        raise WrongUsage(". ".join(left_out))
    if not wanted:
        raise WrongUsage(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted


class _Job:
    """One run's work on the copy of raw history."""

    def __init__(
        self,
        settings: Settings,
        options: Options,
        report: Report,
        history: "History",
        progress: Progress,
        now: Callable[[], datetime],
        vault: "Vault | None",
        openings: Openings | None,
    ) -> None:
        self._settings = settings
        self._options = options
        self._report = report
        self._history = history
        self._progress = progress
        self._now = now
        self._vault = vault
        self._openings = openings
        self._attempts: list[str] = []
        self._states: dict[str, Any] = {}

    def read(self, wanted: Sequence[str]) -> dict[str, Any]:
        """Both banks at once. One bank's failure, foreseen or not, leaves the other's answers alone."""
        from pipelines import load

        for dataset in SOURCES:
            known = load.prepared(self._history, dataset)
            if not known:
                load.load(self._history, load.Package(dataset))
            self._states[dataset] = load.cursors(self._history, dataset) if known else {}
        readers = {"kontist": self._read_kontist, "kontomatik": self._read_kontomatik}
        pool = ThreadPoolExecutor(len(wanted), thread_name_prefix="bank")
        try:
            futures = {source: pool.submit(self._guarded, source, readers[source]) for source in wanted}
            readings = {source: future.result() for source, future in futures.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self._report.banks += [reading.run for reading in readings.values()]
        self._refuse_unknown_accounts()
        return readings

    def load(self, readings: dict[str, Any]) -> None:
        """Settle, pack and load what was read."""
        from pipelines.load import load

        for source, reading in readings.items():
            self._progress.stage(f"Loading {source}")
            load(self._history, self._packed(source, reading))

    def after_publishing(self) -> None:
        """The answers are safe: they need not be asked for again."""
        if self._vault is not None:
            for attempt_id in self._attempts:
                self._vault.end_attempt(attempt_id, "done", self._now())

    def _guarded(self, source: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except OSError as error:
            raise RawBroken(
                f"What {source} sent could not be kept ({error.strerror or error})", "Make room, then run again"
            ) from None
        except Exception as error:  # a bug in one bank's reader must not cost the other bank's data
            from pipelines.errors import Failure

            if isinstance(error, Failure):
                raise
            outcome = Outcome(source, self._now(), institution=source.capitalize(), account="login")
            outcome.end("failed", f"{source}: a fault in this program ({where(error)}). Please report it with this line")
            return _Nothing(BankRun(source, [outcome]))

    def _read_kontist(self) -> "read_kontist.Reading":
        from pipelines.read_kontist import Reader
        from sources._http import Http, Pace
        from sources.kontist.client import KontistClient
        from sources.kontist.tokens import Login

        own = self._settings.kontist
        with _http(Http("kontist", own.base_url, pace=Pace(own.requests_per_minute))) as http:
            login = Login(own.email, own.password, own.refresh_token, own.auth)
            reader = Reader(
                KontistClient(http, login),
                own,
                self._states["kontist"],
                self._history.connection.cursor(),
                work=self._history.work,
                day=banks_day,
                now=self._now,
                since=self._options.since,
                full=self._options.full_refresh,
                progress=self._progress.stage,
            )
            return reader.read()

    def _read_kontomatik(self) -> "read_kontomatik.Reading":
        from pipelines.read_kontomatik import Opening, Reader, without_repeats
        from sources._http import Http
        from sources.kontomatik.client import KontomatikClient

        own, vault = self._settings.kontomatik, self._vault
        if vault is None:
            raise AssertionError("Kontomatik is only wanted with a vault")
        with _http(Http("kontomatik", own.base_url)) as http:
            client = KontomatikClient(
                http, own.api_key or "", own.dialect, poll_interval=own.poll_interval, command_deadline=own.command_deadline
            )
            if self._openings is not None:
                openings = self._openings(vault, client)
            else:
                openings = [Opening(one) for one in vault.consents(source="kontomatik", status=("active", "pending"))]
            reader = Reader(
                client,
                vault,
                own,
                self._states["kontomatik"],
                work=self._history.work,
                day=banks_day,
                now=self._now,
                since=self._options.since,
                full=self._options.full_refresh,
                progress=self._progress.stage,
            )
            reading = reader.read(openings)
            without_repeats(reading)
            reading.run.requests = http.requests
            return reading

    def _packed(self, source: str, reading: Any) -> "Package":
        from pipelines import read_kontist, read_kontomatik
        from pipelines.packing import Packer
        from pipelines.settle import Settler
        from sources.kontist.columns import TABLES as KONTIST_TABLES
        from sources.kontomatik.columns import TABLES as KONTOMATIK_TABLES

        kontist = source == "kontist"
        settler = Settler(
            self._history.connection,
            believed=self._settings.removals_believed,
            believed_percent=self._settings.removals_believed_percent,
        )
        packer = Packer(
            shape=read_kontist.SHAPE if kontist else read_kontomatik.SHAPE,
            tables=KONTIST_TABLES if kontist else KONTOMATIK_TABLES,
            settler=settler,
            state=self._states[source],
            run_id=self._report.run_id,
            now=self._now,
            accepts=partial(_accepted, self._options.accept_removals),
        )
        if isinstance(reading, read_kontomatik.Reading):
            for consent_id, (import_id, owners) in reading.owners.items():
                packer.add_list("owners", consent_id, [{"consent_id": consent_id} | owner for owner in owners], import_id)
            self._attempts += reading.attempts
            if self._vault is not None:
                packer.replace("consents", _consent_rows(self._vault, self._now()))
        return packer.pack(reading.answers, reading.run.outcomes)

    def _refuse_unknown_accounts(self) -> None:
        """A removal that was accepted for an account that nobody has is a slip of the hand: say so before anything is loaded."""
        for asked in self._options.accept_removals:
            if not any(_accepted((asked,), outcome) for outcome in self._report.outcomes):
                known = ", ".join(sorted({o.account_id for o in self._report.outcomes if o.account_id})) or "none"
                raise WrongUsage(f"--accept-removals names no account of this run: {asked}", f"The accounts read are {known}")


@dataclass
class _Nothing:
    run: BankRun
    answers: list[Any] = field(default_factory=list)


@contextmanager
def _http(http: Any) -> Iterator[Any]:
    try:
        yield http
    finally:
        http.close()


def _accepted(accounts: Sequence[str], outcome: Outcome) -> bool:
    return outcome.account_id in accounts


def _consent_rows(vault: "Vault", now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "consent_id": consent.consent_id,
            "institution": consent.institution,
            "target": consent.target,
            "access_mode": consent.access_mode,
            "status": consent.status,
            "created_at": consent.created_at,
            "expires_at": consent.expires_at,
            "read_at": now,
        }
        for consent in vault.consents(source="kontomatik")
    ]


def where(error: BaseException) -> str:
    """What kind of fault and on which line of ours: all that may be shown of it, since its text may hold a row."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-1] if frames else None
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}" if frame else type(error).__name__
