"""Raw history in, a checked ledger out: one new file, written once, in one transaction.

Staging models become views (tables in memory where the history is small), intermediate models tables in memory that can spill to
disk, ledger models tables of the new file. Its content depends on raw history and seeds alone: no clock is read, and every table
is sorted. So a table whose inputs did not change since the last build may be kept: then the new file begins as a copy of the last
one.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from transforms import comments, given, macros, seeds, warnings
from transforms.checks import CheckResult, run_checks
from transforms.engine import attach, connect, spill_beside, translated
from transforms.errors import CannotWrite
from transforms.fingerprints import Fingerprints, Record, file_digest
from transforms.models import Model, in_order, load
from transforms.raw import attach_raw

STORAGE = "v1.0.0"
"""The file format of DuckDB 1.0: what that can open, every BI tool can."""

VIEWS = frozenset({"int_transaction_versions", "changes", "transactions_enriched"})
"""Models that are not kept. The versions are wide, read column by column, and cheaper to read twice than to store: with a million
transactions, a build took 5.9 s with a table of them and 3.7 s with a view. The changes are in the history already, all of it
after a first run, and the enriched transactions are a join of tables by their keys."""

SORTED_BY_SOURCE = frozenset({"transactions"})
"""Models that read one sorted table and keep its order, instead of sorting it a second time."""

SMALL = 16 * 1024 * 1024
"""Bytes of raw history up to which time counts for more than room. Texts are stored without DuckDB's slowest compression (a tenth
of the build for a tenth of the file; a long history is half as large with it). Most of the time goes into planning statements: so
what would be a view before the ledger is a table, planned once, one thread makes all (together a fifth of the build), two
checks are asked at the same time, and every text is looked at for words of `payment_kinds`."""

LARGE = frozenset({"ledger.transaction_history", "ledger.postings"})
"""Tables with which nearly everything changes. Then the whole file is written, once, and no block of it is a copy."""

OnModel = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Last:
    """The ledger that was built before, and what it was made from."""

    ledger: Path
    record: Record


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
    record: Record = field(default_factory=lambda: Record(""))
    """What it was made from."""
    changed: frozenset[str] | None = None
    """Raw tables that changed and tables of the ledger that were made; None when every table was made."""

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
    last: Last | None = None,
    publication: given.Publication = given.NO_PUBLICATION,
) -> Built:
    """Builds `target`, which must not exist, from `raw`, and checks it. `raw` is opened for reading only.

    `own_seeds` is a folder whose files take the place of the seeds of the same name that come with the program.
    `on_model(name, number, total)` is called before each model. What does not fit into `memory_limit` spills to
    `temp_directory` (default: `<target>.spill`, gone afterwards). With `last`, the tables whose inputs are as before may be kept,
    and only checks of what changed are asked. `publication` is what `about` says of this file, with the runs on record.
    A failed check does not raise: see `Built.failed`.
    Raises a `TransformError` for everything else, and then leaves no `target` behind.
    """
    began = time.perf_counter()
    own = seeds.read(own_seeds)
    if target.exists():
        raise CannotWrite(f"{target} exists already, and a ledger is only built into a new file: move it away first.")
    with _gone_unless_finished(target), connect(memory_limit, temp_directory or spill_beside(target)) as connection:
        models = in_order(load())
        attach_raw(connection, raw)
        small = raw.stat().st_size < SMALL
        with translated(raw, target, "reading the seeds"):
            seeds.fill(connection, own, filtering=not small)
            known = given.tables(models, publication)
            given.fill(connection, known)
        with translated(raw, target, "reading the raw history"):
            prints = Fingerprints(connection, models, own)
            prints.found |= given.prints(known)
        if small:
            connection.execute("set threads = 1; set disabled_compression_methods = 'fsst'")
        making = _Making(connection, models, raw, target, on_model, as_tables=small)
        changed = making.before_the_ledger(prints, last)
        with translated(raw, target, "opening the new file"):
            if last is None or changed is None or not _copied(last, target):
                changed = None
            attach(connection, target, "ledger", f"storage_version '{STORAGE}'")
        rows = making.ledger(changed)
        with translated(raw, target, "checking the ledger"):
            empty = {name for name, number in rows.items() if number == 0}
            checks = run_checks(connection, models, at_once=2 if small else 1, changed=changed, empty=empty)
            warned = warnings.counts(connection)
            _note_results(connection, {check.name: check.failed_rows for check in checks} | warned)
        with translated(raw, target, "closing the new file"):
            connection.execute("detach ledger")
    return Built(target, rows, checks, time.perf_counter() - began, warnings.sentences(warned), prints.record(), changed)


def _note_results(connection: duckdb.DuckDBPyConnection, rows: dict[str, int]) -> None:
    """Corrects the table `checks` where a result differs: it was made before they were known."""
    connection.execute(
        "update ledger.main.checks set rows = found.rows,"
        " result = case when found.rows = 0 then 'passed' when kind = 'warning' then 'warning' else 'failed' end"
        " from (select unnest($1) as name, unnest($2) as rows) as found"
        " where checks.name = found.name and checks.rows <> found.rows",
        [list(rows), list(rows.values())],
    )


def prepare(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> None:
    """Makes the schemas of the models before the ledger, and the macros that models call."""
    for layer in sorted({model.layer for model in models} - {"ledger"}):
        connection.execute(f"create schema {layer}")
    macros.add_helpers(connection)


def make(connection: duckdb.DuckDBPyConnection, model: Model, *, as_table: bool = False) -> int:
    """Makes one model; returns its rows, 0 for a view. `as_table`: no view before the ledger."""
    place = f"ledger.main.{model.name}" if model.layer == "ledger" else model.table
    is_view = model.name in VIEWS or model.layer == "staging"
    if is_view and not (as_table and model.layer != "ledger"):
        connection.execute(f"create view {place} as\n{model.sql}")
        return 0
    with _in_order_of_source(connection) if model.name in SORTED_BY_SOURCE else nullcontext():
        made = connection.execute(f"create table {place} as\n{model.sql}").fetchone()
    return int(made[0]) if made else 0


class _Making:
    """Makes the models of one build, each after all that it reads. What nothing reads that is made is not made."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        models: tuple[Model, ...],
        raw: Path,
        target: Path,
        on_model: OnModel | None,
        *,
        as_tables: bool,
    ) -> None:
        self._connection = connection
        self._as_tables = as_tables
        self._models = {model.table: model for model in models}
        self._raw, self._target = raw, target
        self._on_model = on_model
        self._made: dict[str, int] = {}
        prepare(connection, models)

    def before_the_ledger(self, prints: Fingerprints, last: Last | None) -> frozenset[str] | None:
        """Makes what stands before the ledger; returns what differs from the last one, None when all of it is to be made."""
        before = last.record if last is not None else Record("")
        differs = {table for table, found in prints.found.items() if before.found.get(table) != found}
        for table, model in self._models.items():
            same = before.keys.get(table) == prints.key(model)
            if model.layer == "intermediate" and model.name not in VIEWS:
                if same:
                    prints.found[table] = before.found[table]
                else:
                    prints.made(model, self._make(model))
            elif model.layer != "ledger" and last is None:
                self._make(model)
            elif model.layer == "ledger" and not same:
                differs.add(table)
        whole = last is None or differs & LARGE
        for table, model in self._models.items():
            if model.layer == "ledger" and (whole or table in differs):
                self._make_inputs(model)
        return None if whole else frozenset(differs)

    def ledger(self, changed: frozenset[str] | None) -> dict[str, int]:
        """Makes the tables of the ledger, or of a copy of the last one those that changed; returns the rows of all."""
        models = [model for model in self._models.values() if model.layer == "ledger"]
        make = [one for one in models if changed is None or (one.table in changed and one.name not in VIEWS)]
        for model in models if changed is None else make:
            self._make_inputs(model)
        with translated(self._raw, self._target, "writing the ledger"):
            # the one commit writes the file, not a log; set earlier, each table built before would checkpoint, too
            self._connection.execute("set wal_autocheckpoint = '1B'")
            self._connection.execute("begin")  # from here on only the new file is written to
            for model in make if changed is not None else ():
                self._connection.execute(f"drop table {model.table}")
        for model in make:
            self._make(model)
        with translated(self._raw, self._target, "writing the ledger"):
            if changed is None:
                macros.add(self._connection)
            self._connection.execute(comments.statements(self._connection, make))
            self._connection.execute("commit")
            return {one.name: self._rows(one) for one in models if one.name not in VIEWS}

    def _make_inputs(self, model: Model) -> None:
        for table in sorted(model.refs):
            if table not in self._made and self._models[table].layer != "ledger":
                self._make(self._models[table])

    def _make(self, model: Model) -> int:
        self._make_inputs(model)
        if self._on_model is not None:
            self._on_model(model.table, len(self._made) + 1, len(self._models))
        with translated(self._raw, self._target, model.table):
            self._made[model.table] = make(self._connection, model, as_table=self._as_tables)
        return self._made[model.table]

    def _rows(self, model: Model) -> int:
        if model.table in self._made:
            return self._made[model.table]
        counted = self._connection.execute(f"select count(*) from {model.table}").fetchone()
        return int(counted[0]) if counted else 0


def _copied(last: Last, target: Path) -> bool:
    """Copies the last ledger to `target`; returns whether it is, to the byte, the one that was recorded. Leaves no other copy."""
    if last.ledger.with_name(f"{last.ledger.name}.wal").exists():
        return False
    try:
        shutil.copyfile(last.ledger, target)
        if file_digest(target) == last.record.ledger:
            return True
    except OSError:
        pass
    target.unlink(missing_ok=True)
    return False


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
