"""Publishes the ledger: builds it into a new file, checks it there, and renames it into place only when every check passed."""

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ChecksFailed, Failure, RawBroken, WrongUsage
from pipelines.store import published_page, run_history
from pipelines.store.atomic_files import publish, replacing, write_private
from pipelines.store.leftovers import SPILL, own_spill
from pipelines.store.losses import missing_raw, refuse
from pipelines.store.raw_copy import MEMORY
from transforms.checks import CheckResult

if TYPE_CHECKING:
    from pipelines.report_page.page_options import PageOptions
    from transforms.build import Built, Last, OnModel
    from transforms.given import Publication

RECORD = "ledger.build.json"
"""What the published ledger was made from, and its SHA-256: hashes only."""
SEEDS = "seeds"
"""The folder of a data directory for files that people edit."""


@dataclass(frozen=True)
class Published:
    """A ledger that is in place."""

    path: Path
    rows: dict[str, int]
    checks: list[CheckResult]
    seconds: float
    notices: list[str] = field(default_factory=list)
    """What somebody should look at in a ledger that is right."""
    page: Path | None = None
    """The page that shows it; None where there is none."""


class LedgerRefused(ChecksFailed):
    """The new ledger failed `failed`; the one before is still in place."""

    def __init__(self, path: Path, checks: list[CheckResult]) -> None:
        self.checks = checks
        self.failed = [check for check in checks if not check.passed]
        named = "; ".join(f"{check.name} ({check.failed_rows} rows): {check.meaning}" for check in self.failed)
        kept = f"{path} stays as it was" if path.exists() else "Nothing was published"
        super().__init__(f"The new ledger was not published, {len(self.failed)} checks failed: {named}", kept)


def build_and_publish(
    data_dir: Path,
    on_model: "OnModel | None" = None,
    *,
    memory: str = MEMORY,
    keep_unchanged: bool = False,
    page: "PageOptions | None" = None,
    run_id: str | None = None,
) -> Published:
    """Builds, checks and publishes the ledger. Raises `LedgerRefused` when a check fails, `Failure` when it cannot be built.

    With `keep_unchanged`, tables of the published ledger whose inputs are the same are not made again. With `page`, a page that
    shows the ledger is drawn before the ledger is published, and put beside it right after; else there is none afterwards.
    `run_id` is the run that publishes; None for a command that reads no bank.
    """
    from transforms.errors import SeedUnreadable, TransformError
    from transforms.given import Publication

    started = time.perf_counter()
    history = run_history.read(data_dir)
    now = Publication(datetime.now(UTC), run_id, version("kontoledger"), history.records)
    ledger, new = data_dir / "ledger.duckdb", data_dir / "ledger.new.duckdb"
    try:
        built = _on_a_copy(data_dir, on_model, memory, now) if keep_unchanged else None
        built = built or _build(data_dir, on_model, memory, now)
        if built.failed:
            raise LedgerRefused(ledger, built.checks)
        undrawn = published_page.draw(new, page, memory=memory)
        _publish(built, ledger)
        shown = published_page.put(ledger)
    except SeedUnreadable as error:
        raise WrongUsage(str(error).rstrip(". ")) from None
    except TransformError as error:
        refuse(missing_raw(data_dir))
        raise Failure(str(error).rstrip(". ")) from None
    except OSError as error:
        raise RawBroken(f"The new ledger could not be put into place ({error.strerror})", "The one before is untouched") from None
    finally:
        new.unlink(missing_ok=True)
    notices = [*built.notices, *filter(None, (undrawn, history.trouble))]
    return Published(ledger, built.rows, built.checks, time.perf_counter() - started, notices, shown)


def forget_record(data_dir: Path) -> None:
    """Makes the next build a whole one: no block of its file is a copy of the ledger before."""
    (data_dir / RECORD).unlink(missing_ok=True)


def is_behind(data_dir: Path) -> bool:
    """Returns whether raw history is newer than the published ledger: a command was stopped between the two."""
    raw, ledger = data_dir / "raw.duckdb", data_dir / "ledger.duckdb"
    return raw.exists() and (not ledger.exists() or raw.stat().st_mtime_ns > ledger.stat().st_mtime_ns)


def is_older(data_dir: Path, built_by: str) -> bool:
    """Returns whether raw history, a seed or the program is newer than the published ledger. `built_by` is its version."""
    ledger = (data_dir / "ledger.duckdb").stat().st_mtime_ns
    newer = any(path.stat().st_mtime_ns > ledger for path in (data_dir / "raw.duckdb", *(data_dir / SEEDS).glob("*.csv")))
    return newer or built_by != version("kontoledger")


def _on_a_copy(data_dir: Path, on_model: "OnModel | None", memory: str, now: "Publication") -> "Built | None":
    """Builds what changed; returns nothing where that cannot be done, or does not pass: then the whole ledger has to be built."""
    from transforms.build import Last
    from transforms.errors import TransformError
    from transforms.fingerprints import read_record

    ledger = data_dir / "ledger.duckdb"
    record = read_record(data_dir / RECORD)
    if record is None or not ledger.exists():
        return None
    try:
        built = _build(data_dir, on_model, memory, now, Last(ledger, record))
    except TransformError:
        return None
    return built if not built.failed or built.changed is None else None


def _build(data_dir: Path, on_model: "OnModel | None", memory: str, now: "Publication", last: "Last | None" = None) -> "Built":
    from transforms.build import build

    new = data_dir / "ledger.new.duckdb"
    for leftover in (new, new.with_name(new.name + ".wal")):
        leftover.unlink(missing_ok=True)
    return build(
        data_dir / "raw.duckdb",
        new,
        own_seeds=data_dir / SEEDS,
        memory_limit=memory,
        temp_directory=data_dir / SPILL,
        on_model=on_model,
        last=last,
        publication=now,
    )


def _publish(built: "Built", ledger: Path) -> None:
    """Puts the new ledger into place, and beside it the record of this very file. Without one, the next build is a whole one."""
    from transforms.fingerprints import as_text, file_digest

    digest = file_digest(built.path)
    publish(built.path, ledger, shared=True)
    with suppress(OSError), replacing(ledger.with_name(RECORD)) as new:
        write_private(new, as_text(replace(built.record, ledger=digest)))


def check_seeds(data_dir: Path) -> None:
    """Raises `WrongUsage` for seeds that no ledger can be built with, before a run spends anything at a bank."""
    from transforms.errors import SeedUnreadable
    from transforms.seeds import read

    try:
        read(data_dir / SEEDS)
    except SeedUnreadable as error:
        raise WrongUsage(str(error).rstrip(". ")) from None


def check_again(data_dir: Path, *, memory: str = MEMORY) -> list[CheckResult]:
    """Checks the published ledger against raw history; returns the result of every check."""
    from transforms.checks import check
    from transforms.errors import TransformError

    try:
        return check(data_dir / "raw.duckdb", data_dir / "ledger.duckdb", memory_limit=memory, temp_directory=own_spill(data_dir))
    except TransformError as error:
        refuse(missing_raw(data_dir))
        raise Failure(str(error).rstrip(". ")) from None
