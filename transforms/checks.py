"""What must be true of a ledger before anyone may open it.

The header of a model promises its grain, what is never null, which values a column takes and which table it points to;
`checks/*.sql` holds one query for each promise about several tables, whose rows are what breaks it. A check reports its name
and how many rows break it, never a row.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from transforms.engine import attach_ledger, connect, spill_beside, translated
from transforms.errors import CannotWrite, LedgerUnreadable, ModelError, RawUnreadable
from transforms.models import HeaderCheck, Model, load
from transforms.raw import attach_raw

FOLDER = Path(__file__).parent / "checks"
BY_CONSTRUCTION = frozenset({"transactions_enriched"})
"""Views whose headers are not asked at every build: they only join checked tables by their keys, and the tests hold them."""
_TABLE = re.compile(r"\b(?:ledger|raw\.[a-z_]+)\.[a-z_]+")


@dataclass(frozen=True)
class CheckResult:
    """One check: what a failure of it means, and how many rows failed it (of the query, for one in `checks/`)."""

    name: str
    meaning: str
    failed_rows: int

    @property
    def passed(self) -> bool:
        return self.failed_rows == 0


@dataclass(frozen=True)
class _Count:
    """A check that is one expression over its table, so that all of a table's are counted in one go."""

    name: str
    meaning: str
    expression: str
    refers_to: str | None = None
    """Another table that it reads."""


def check(raw: Path, ledger: Path, *, memory_limit: str = "1GB", temp_directory: Path | None = None) -> list[CheckResult]:
    """Checks a finished ledger against the raw history again; both are opened for reading only.

    Raises `RawUnreadable` or `LedgerUnreadable`; a check that fails is a result.
    """
    with connect(memory_limit, temp_directory or spill_beside(ledger)) as connection:
        attach_raw(connection, raw)
        attach_ledger(connection, ledger)
        try:
            with translated(raw, ledger, "the checks"):
                return run_checks(connection, load())
        except (CannotWrite, ModelError, RawUnreadable):
            raise LedgerUnreadable(ledger, "it is damaged, or not of this version") from None


def run_checks(
    connection: duckdb.DuckDBPyConnection,
    models: Iterable[Model],
    *,
    at_once: int = 1,
    changed: frozenset[str] | None = None,
    empty: Collection[str] = (),
) -> list[CheckResult]:
    """Runs every check of the ledger's models and of `checks/`, on a connection with `raw` and `ledger` attached.

    `changed` names the tables that differ from those of a ledger that passed every check. A check that reads none of them is not
    asked: it passes as it did there. `empty` names tables without rows, of which no header is asked: no row can break it.
    With `at_once` above 1, that number of checks runs at the same time, each on a cursor of its own that sees only what is
    committed.
    """
    headers = [
        partial(check_header, model=model, changed=frozenset() if model.name in empty else changed)
        for model in _asked_at_every_build(models)
    ]
    asked: list[Callable[[duckdb.DuckDBPyConnection], list[CheckResult]]] = [
        *headers,
        *(
            partial(_check_singular, name=name, meaning=meaning, sql=sql if _is_asked(sql, changed) else None)
            for name, meaning, sql in singular()
        ),
    ]
    if at_once == 1:
        return [result for ask in asked for result in ask(connection)]
    with ThreadPoolExecutor(at_once) as pool:
        return [result for results in pool.map(lambda ask: ask(connection.cursor()), asked) for result in results]


def promised(models: Iterable[Model]) -> list[CheckResult]:
    """Returns every check that `run_checks` asks of these models, as it is in a file that may be published: passed."""
    headers = [count for model in _asked_at_every_build(models) for count in _counts(model)]
    return [CheckResult(one.name, one.meaning, 0) for one in headers] + [
        CheckResult(name, meaning, 0) for name, meaning, _ in singular()
    ]


def _asked_at_every_build(models: Iterable[Model]) -> list[Model]:
    return sorted(
        (model for model in models if model.layer == "ledger" and model.name not in BY_CONSTRUCTION), key=lambda one: one.name
    )


def _check_singular(connection: duckdb.DuckDBPyConnection, name: str, meaning: str, sql: str | None) -> list[CheckResult]:
    failed = connection.execute(f"select count(*) from (\n{sql}\n) as failed").fetchone() if sql is not None else None
    return [CheckResult(name, meaning, int(failed[0]) if failed else 0)]


def tables_of(sql: str) -> set[str]:
    """Returns the tables that a check's query names; none for a query about the catalog."""
    return set(_TABLE.findall(sql))


def _is_asked(sql: str, changed: frozenset[str] | None) -> bool:
    named = tables_of(sql)
    return changed is None or not named or bool(named & changed)


def check_header(connection: duckdb.DuckDBPyConnection, model: Model, changed: frozenset[str] | None = None) -> list[CheckResult]:
    """Runs the checks of the model's header in one query; with `changed`, those that read one of these tables."""
    counts = list(_counts(model))
    asked = [count for count in counts if changed is None or {model.table, f"ledger.{count.refers_to}"} & changed]
    failed: dict[str, int] = {}
    if asked:
        expressions = ",\n".join(count.expression for count in asked)
        found = connection.execute(f"select\n{expressions}\nfrom {model.table}").fetchone() or ()
        failed = {count.name: int(number) for count, number in zip(asked, found, strict=True)}
    return [CheckResult(count.name, count.meaning, failed.get(count.name, 0)) for count in counts]


def singular(folder: Path = FOLDER) -> Iterator[tuple[str, str, str]]:
    """Returns name, meaning and query of every file in `checks/`. The first line says what a failure means."""
    for path in sorted(folder.glob("*.sql")):
        header, _, sql = path.read_text(encoding="utf-8").partition("\n")
        if not header.startswith("-- "):
            raise ModelError(f"checks/{path.name} must begin with `-- ` and a sentence that says what a failure means.")
        yield path.stem, header.removeprefix("-- "), sql.strip()


def _counts(model: Model) -> Iterator[_Count]:
    grain = ", ".join(model.grain)
    yield _Count(
        f"{model.name}.grain",
        f"Several rows of {model.name} have the same {grain}.",
        f"count(*) - count(distinct {grain if len(model.grain) == 1 else f'row({grain})'})",
    )
    promised = {one.column for one in model.checks if one.kind == "not_null"}
    of_the_grain = (HeaderCheck("not_null", column) for column in model.grain if column not in promised)
    for one in (*of_the_grain, *model.checks):
        if one.kind != "joins":
            yield _count(model.name, one)


def _count(table: str, one: HeaderCheck) -> _Count:
    name = f"{table}.{one.kind}({one.column})"
    values = ", ".join(one.values)
    match one.kind:
        case "not_null":
            return _Count(name, f"{one.column} is missing in {table}.", f"count(*) filter (where {one.column} is null)")
        case "accepted":
            meaning = f"{one.column} of {table} is none of {values}."
            return _Count(name, meaning, f"count(*) filter (where {one.column} not in ({values}))")
        case "relationship":
            target, column = one.target
            known = f"(select {column} from ledger.{target})"
            meaning = f"{one.column} of {table} is not in {target}."
            return _Count(name, meaning, f"count(*) filter (where {one.column} not in {known})", target)
        case _:
            raise ModelError(f"No check is called {one.kind}.")
