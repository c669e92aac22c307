"""Asks the published ledger in SQL: one statement that only reads, on a connection that reaches no other file and no network."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import Failure, WrongUsage
from pipelines.store.ledger_reader import ledger_of
from pipelines.store.sql import AT_ONCE
from pipelines.text.utf8 import is_utf8

if TYPE_CHECKING:
    import duckdb

    from pipelines.settings import Settings

T = TypeVar("T")
READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""Kinds of statements that read. DuckDB calls a `pivot` MULTI, and `describe`, `show` and `summarize` SELECT."""
NUMBERS = re.compile(r"(DECIMAL|(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?)|DOUBLE|FLOAT)\b")
"""Types whose columns stand right in a table."""
_LINE = re.compile(r"LINE (\d+): (.*)")
_MEANT = re.compile(r'Did you mean "([^"]+)"')


@dataclass(frozen=True)
class Statement:
    """A statement that only reads."""

    text: str
    kind: str
    """As DuckDB names it: one of `READING`."""


@dataclass(frozen=True)
class Answer:
    """The answer to a statement: its columns, and its rows as they come."""

    names: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]

    @property
    def numeric(self) -> set[int]:
        """Returns the places of the columns that hold numbers."""
        return {at for at, kind in enumerate(self.types) if NUMBERS.match(kind)}


@contextmanager
def readable_ledger(settings: "Settings") -> Iterator["duckdb.DuckDBPyConnection"]:
    """Opens the published ledger for statements of a person: no other file, no extension, no setting, no variable of Python.

    Raises `WrongUsage` for a statement that DuckDB refuses, `Failure` where memory or the ledger itself is at fault.
    """
    import duckdb

    with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        connection.execute("set enable_external_access = false; set python_enable_replacements = false")
        connection.execute("set lock_configuration = true")
        try:
            yield connection
        except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException):
            raise  # it is the file
        except duckdb.Error as error:
            raise refused(error, settings.memory_limit) from None


def statement(text: str) -> Statement:
    """Returns the one statement of a text. Raises `WrongUsage` for none, for several, and for one that does not only read."""
    import duckdb

    if not is_utf8(text):
        raise WrongUsage("The statement is not UTF-8 text", "Write its file in UTF-8, or set the terminal to UTF-8")
    try:
        found = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise refused(error) from None
    if not found:
        raise WrongUsage("There is no statement", 'Give one, e.g. "from accounts"')
    if len(found) > 1:
        raise WrongUsage(f"There are {len(found)} statements", "Give one; without any, `query` opens a prompt that takes several")
    kind = found[0].type.name
    if kind not in READING:
        raise WrongUsage(f"{kind} does not only read", "`query` takes select, from, with, describe, show, summarize and explain")
    return Statement(_unended(found[0].query), kind)


def is_ended(text: str) -> bool:
    """Returns whether a semicolon ends a text, a comment after it aside. One in a literal, a name or a comment does not."""
    import duckdb

    if not is_utf8(text):
        return text.endswith(";")
    encoded = text.encode()
    starts = [offset for offset, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]  # places in bytes
    return bool(starts) and encoded[starts[-1] : starts[-1] + 1] == b";"


def one_by_one(text: str) -> list[str]:
    """Returns the statements of a text; the text itself where it cannot be understood."""
    import duckdb

    try:
        return [one.query for one in duckdb.extract_statements(text)] if is_utf8(text) else [text]
    except duckdb.Error:
        return [text]


def answer(connection: "duckdb.DuckDBPyConnection", asked: Statement) -> Answer:
    """Asks a statement; `connection` is busy with it until the last row."""
    _computed(connection, lambda: connection.execute(asked.text))
    described = connection.description or []
    return Answer([column[0] for column in described], [str(column[1]) for column in described], _rows(connection))


def spreadsheet_answer(connection: "duckdb.DuckDBPyConnection", asked: Statement) -> Answer:
    """Asks a statement for text that a spreadsheet makes no formula of, by the rule of `export --format csv`.

    An `explain` is no table to ask of, and is answered as it is.
    """
    import duckdb

    from pipelines.questions.exports import safe_text

    if asked.kind == "EXPLAIN":
        return answer(connection, asked)
    try:
        described = connection.sql(asked.text)  # understood, not yet computed
    except duckdb.Error:
        connection.execute(asked.text)  # fails, too, and its error names the line
        raise
    shown = ", ".join(f'{safe_text(f"#{at}", str(kind))} as "c{at}"' for at, kind in enumerate(described.types, 1))
    found = answer(connection, Statement(f"select {shown} from (\n{asked.text}\n)", asked.kind))
    return Answer(list(described.columns), found.types, found.rows)


def refused(error: "duckdb.Error", memory: str = "") -> Failure:
    """Returns the failure for a statement that cannot be answered, with its line and DuckDB's suggestion of a name.

    What DuckDB says about a value would repeat the value, so it is left out.
    """
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return Failure(
            f"The query needs more memory than {memory}", "Ask for less: columns that are needed, or a part of the days"
        )
    where = _where(error)
    if isinstance(error, duckdb.PermissionException):
        return WrongUsage(
            "The query reads or writes another file than the ledger" + where, "Join other data in a notebook, with `frame`"
        )
    if isinstance(
        error, duckdb.ParserException | duckdb.BinderException | duckdb.InvalidInputException | duckdb.CatalogException
    ):
        cause = re.sub(r"^\w+( \w+)? Error: ", "", str(error).splitlines()[0]).rstrip("!.")
        return WrongUsage(f"The query is not understood: {cause}{where}", nearest(error))
    return WrongUsage(
        f"The query cannot be computed ({type(error).__name__}){where}", "Correct it: an operation does not accept a value"
    )


def nearest(error: "duckdb.Error") -> str:
    """Returns DuckDB's own suggestion where it makes one: it names tables of the ledger, never a value."""
    meant = _MEANT.search(str(error))
    return f"Did you mean {meant[1]}?" if meant else "docs/catalogue.md lists the tables and their columns"


def json_value(value: Any) -> Any:
    """Returns a value for JSON: a decimal and a day are text (`"12.50"`, `"2026-03-31"`), as in `run --json`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    return str(value)


def text_value(value: Any) -> str:
    """Returns a value as a cell: nothing for null, exact digits for a decimal, a list with commas."""
    shown = json_value(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    if isinstance(shown, list):
        return ", ".join(text_value(one) for one in shown)
    return str(shown).replace("T", " ", 1) if isinstance(value, datetime) else str(shown)


def unlike(names: Sequence[str]) -> list[str]:
    """Returns the names of columns with a number after one that stands there already: an object has each name once."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        place = seen[name] = seen.get(name, -1) + 1
        result.append(f"{name}_{place}" if place else name)
    return result


def _rows(connection: "duckdb.DuckDBPyConnection") -> Iterator[tuple[Any, ...]]:
    while rows := _computed(connection, lambda: connection.fetchmany(AT_ONCE)):
        yield from rows


def _computed(connection: "duckdb.DuckDBPyConnection", compute: Callable[[], T]) -> T:
    """Computes in a thread of its own, so that Ctrl-C is heard at once: DuckDB listens only between two parts of its work.

    Raises `KeyboardInterrupt` when the query has ended.
    """
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(compute)
        try:
            return result.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _unended(text: str) -> str:
    """Returns a statement without its semicolon, and without what stands after it: a part of another one can have neither."""
    import duckdb

    encoded = text.encode()
    end = len(encoded)
    for offset, kind in reversed(duckdb.tokenize(text)):  # places in bytes
        if encoded[offset : offset + 1] == b";":
            end = offset
        elif kind != duckdb.token_type.comment:
            break
    return encoded[:end].decode().strip()


def _where(error: Exception) -> str:
    found = _LINE.search(str(error))
    return f", in line {found[1]}: `{found[2].strip()}`" if found else ""
