"""Raw history in, a checked ledger out: one new file, written once, in one transaction.

Staging models become views, intermediate models tables in memory that can spill to disk, ledger models tables of the new
file. Its content depends on raw history and seeds alone: no clock is read, and every table is sorted.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from transforms import comments, macros, seeds
from transforms.checks import CheckResult, run_checks
from transforms.engine import attach, connect, spill_beside, translated
from transforms.errors import CannotWrite
from transforms.models import Model, in_order, load
from transforms.raw import attach_raw
from transforms.warnings import notices

STORAGE = "v1.0.0"
"""The file format of DuckDB 1.0: what that can open, every BI tool can."""

VIEWS = frozenset({"int_transaction_versions", "changes"})
"""Models that are not kept. The versions are wide, read column by column, and cheaper to read twice than to store: with a million
transactions, a build took 5.9 s with a table of them and 3.7 s with a view. The changes are in the history already, all of it
after a first run."""

SORTED_BY_SOURCE = frozenset({"transactions"})
"""Models that read one sorted table and keep its order, instead of sorting it a second time."""

SMALL = 16 * 1024 * 1024
"""Bytes of raw history up to which time counts for more than room: texts are stored without DuckDB's slowest compression (a tenth
of the build for a tenth of the file; a long history is half as large with it), and two checks are asked at the same time."""

OnModel = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """A new ledger file, complete and closed. Whether it may be published is for its `checks` to say."""

    path: Path
    rows: dict[str, int]
    """By table."""
    checks: list[CheckResult]
    seconds: float
    notices: list[str] = field(default_factory=list)
    """Warnings: a correct ledger that a person should look at."""

    @property
    def failed(self) -> list[CheckResult]:
        """Returns the checks that forbid publishing."""
        return [check for check in self.checks if not check.passed]


def build(
    raw: Path,
    target: Path,
    *,
    own_seeds: Path | None = None,
    memory_limit: str = "1GB",
    temp_directory: Path | None = None,
    on_model: OnModel | None = None,
) -> Built:
    """Builds `target`, which must not exist, from `raw`, and checks it. `raw` is opened for reading only.

    `own_seeds` is a folder whose files take the place of the seeds of the same name that come with the program.
    `on_model(name, number, total)` is called before each model. What does not fit into `memory_limit` spills to
    `temp_directory` (default: `<target>.spill`, gone afterwards). A failed check does not raise: see `Built.failed`.
    Raises a `TransformError` for everything else, and then leaves no `target` behind.
    """
    began = time.perf_counter()
    given = seeds.read(own_seeds)
    if target.exists():
        raise CannotWrite(f"{target} exists already, and a ledger is only built into a new file: move it away first.")
    with _gone_unless_finished(target), connect(memory_limit, temp_directory or spill_beside(target)) as connection:
        with translated(raw, target, "reading the models"):
            models = in_order(load(), connection)
        attach_raw(connection, raw)
        with translated(raw, target, "reading the seeds"):
            seeds.fill(connection, given)
        with translated(raw, target, "opening the new file"):
            attach(connection, target, "ledger", f"storage_version '{STORAGE}'")
            small = raw.stat().st_size < SMALL
            if small:
                connection.execute("set disabled_compression_methods = 'fsst'")
        rows = _make_all(connection, models, raw, target, on_model)
        with translated(raw, target, "checking the ledger"):
            checks = run_checks(connection, models, at_once=2 if small else 1)
            noticed = notices(connection)
        with translated(raw, target, "closing the new file"):
            connection.execute("detach ledger")
    return Built(target, rows, checks, time.perf_counter() - began, noticed)


def prepare(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> None:
    """Makes the schemas of the models before the ledger, and the macros that models call."""
    for layer in sorted({model.layer for model in models} - {"ledger"}):
        connection.execute(f"create schema {layer}")
    macros.add_helpers(connection)


def make(connection: duckdb.DuckDBPyConnection, model: Model) -> int:
    """Makes one model; returns its rows, 0 for a view."""
    place = f"ledger.main.{model.name}" if model.layer == "ledger" else model.table
    if model.layer == "staging" or model.name in VIEWS:
        connection.execute(f"create view {place} as\n{model.sql}")
        return 0
    with _in_order_of_source(connection) if model.name in SORTED_BY_SOURCE else nullcontext():
        made = connection.execute(f"create table {place} as\n{model.sql}").fetchone()
    return int(made[0]) if made else 0


def _make_all(
    connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...], raw: Path, target: Path, on_model: OnModel | None
) -> dict[str, int]:
    rows: dict[str, int] = {}
    opened = False
    prepare(connection, models)
    connection.execute("set wal_autocheckpoint = '1B'")  # the one commit goes into the file, not into a log beside it
    for number, model in enumerate(models, start=1):
        if on_model is not None:
            on_model(model.table, number, len(models))
        with translated(raw, target, model.table):
            if model.layer == "ledger" and not opened:
                opened = True
                connection.execute("begin")  # from here on only the new file is written to
            made = make(connection, model)
        if model.layer == "ledger" and model.name not in VIEWS:
            rows[model.name] = made
    with translated(raw, target, "writing the ledger"):
        macros.add(connection)
        connection.execute(comments.statements(connection, models))
        connection.execute("commit")
    return rows


@contextmanager
def _in_order_of_source(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("set preserve_insertion_order = true")
    yield
    connection.execute("set preserve_insertion_order = false")


@contextmanager
def _gone_unless_finished(target: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for leftover in (target, target.with_name(f"{target.name}.wal")):
            leftover.unlink(missing_ok=True)
        raise
