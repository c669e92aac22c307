"""Copies the ledger for other programs: CSV that a spreadsheet can open, Parquet, Excel, journals for beancount and hledger,
account statements as camt.053, MT940 and OFX, and batches for DATEV.

Each file is replaced in one step, so a reader sees a whole file or the one before, also when two exports write at once or one is
killed.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage
from pipelines.questions.statements import Selection, Statement, planned
from pipelines.store import leftovers
from pipelines.store.atomic_files import replacing
from pipelines.store.sql import literal, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BOM = "\ufeff"
"""Without it, Excel takes UTF-8 for the machine's own old code page."""
_DANGEROUS = r"^[\s\p{Z}\p{C}]*[=+\-@\t\r\n＝＋－＠]"
"""Text that a spreadsheet would run as a formula, blanks before it included, seen or not; the wide forms count too."""
_DANGEROUS_INSIDE = r"([;\t\r\n][\s\p{Z}\p{C}]*)([=+\-@＝＋－＠])"
"""Where lists are separated by semicolons (German, Polish), Excel begins a new cell at each of them, commas and quotes or not."""


@dataclass(frozen=True)
class Export:
    """Where an export goes, and what of."""

    folder: Path
    note: Callable[[str], None]
    """Receives a sentence that somebody should know of the files."""
    selection: Selection
    own_seeds: Path = Path("seeds")
    """The folder of the data directory in which people keep their seeds."""
    skr: str | None = None
    """The chart of accounts of a batch for DATEV; None is that of the settings."""


def tables_of(connection: "DuckDBPyConnection") -> list[str]:
    """Returns every table and view of the ledger."""
    found = rows_of(
        connection, "select distinct table_name from duckdb_columns() where database_name = 'ledger' and not internal order by 1"
    )
    return [row["table_name"] for row in found]


def write_parquet(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes every table as `<table>.parquet`, with its types; yields each file."""
    for table in tables_of(connection):
        yield _copied(
            connection, f"select * from {table}", export.folder / f"{table}.parquet", "format parquet, compression zstd"
        )


def write_csv(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes every table as `<table>.csv`: UTF-8 with byte order mark, a header, commas, quotes of RFC 4180; yields each file.

    What a spreadsheet would take for a formula, at the start of a text or after a `;` in it, gets an apostrophe before it;
    numbers stay. Lists are joined by `; `.
    """
    for table in tables_of(connection):
        yield _copied(connection, _safe_select(connection, table), export.folder / f"{table}.csv", "format csv, header", BOM)


def write_journal(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes the double entry as `ledger.beancount`; yields the file."""
    from pipelines.questions import beancount, journal

    yield _written(export.folder / "ledger.beancount", beancount.lines(journal.events(connection)))


def write_hledger(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes the double entry as `ledger.journal`; yields the file."""
    from pipelines.questions import hledger, journal

    yield _written(export.folder / "ledger.journal", hledger.lines(journal.events(connection)))


def write_ofx(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes one statement of each account, of all days or of those that are chosen, into `ledger.ofx`; yields the file."""
    from pipelines.questions import ofx

    if export.selection.per:
        raise WrongUsage("OFX has one statement an account", "Leave --per out")
    if export.selection.is_everything:
        listed = ofx.whole_accounts(connection, export.note)
    else:
        listed = ofx.periods(planned(connection, export.selection, export.note))
    yield _written(export.folder / "ledger.ofx", ofx.lines(connection, listed, _published_at(connection)))


def write_camt053(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes a statement of each account and month, or day, into `ledger.camt053.xml`; yields the file."""
    from pipelines.questions import camt053

    if statements := _statements(connection, export):
        path = export.folder / "ledger.camt053.xml"
        with _beside(path) as new:
            camt053.write(connection, new, statements, _published_at(connection))
        yield path


def write_mt940(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes a statement of each account and month, or day, into `ledger.sta`; yields the file."""
    from pipelines.questions import mt940

    if statements := _statements(connection, export):
        yield _written(export.folder / "ledger.sta", mt940.lines(connection, statements, export.note), end="\r\n")


def write_datev(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes batches for DATEV, one a year or month, as `EXTF_Buchungsstapel_<first>_<last>.csv`; yields each file.

    All of them are written before the first one gets its name: a failure leaves the files that were there.
    """
    from pipelines.questions import datev, datev_accounts, datev_format

    books = datev_accounts.books_and_chart(export.own_seeds, export.skr)
    batches = datev.Batches(connection, export.selection, books, export.note)
    paths = [export.folder / batch.file_name for batch in batches.planned]
    if taken := [path for path in paths if path.is_dir() and not path.is_symlink()]:
        raise Failure(f"No file was written. {taken[0]} is a folder", "Move it away, or choose another folder with --out")
    with ExitStack() as half_made:
        for path, batch in zip(paths, batches.planned, strict=True):
            _fill(half_made.enter_context(_beside(path)), batches.lines(batch), "\r\n", datev_format.ENCODING)
    yield from paths
    for sentence in batches.tally.sentences():
        export.note(sentence)


def write_xlsx(connection: "DuckDBPyConnection", export: Export) -> Iterator[Path]:
    """Writes accounts, transactions, balances and postings as sheets of `ledger.xlsx`; yields the file."""
    from pipelines.questions import workbook

    path = export.folder / "ledger.xlsx"
    with _beside(path) as new:
        workbook.write(connection, new, export.note)
    yield path


FORMATS: dict[str, Callable[["DuckDBPyConnection", Export], Iterator[Path]]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "beancount": write_journal,
    "hledger": write_hledger,
    "ofx": write_ofx,
    "xlsx": write_xlsx,
    "camt053": write_camt053,
    "mt940": write_mt940,
    "datev": write_datev,
}
"""Each writes its files into a folder, yields them, and says what the format cannot carry as it is."""
CHOOSING = frozenset({"ofx", "camt053", "mt940", "datev"})
"""Formats of which a person can choose days and accounts."""


def files(connection: "DuckDBPyConnection", form: str, export: Export) -> Iterator[Path]:
    """Writes the files of a format, and yields each. Raises `WrongUsage` where days or accounts are chosen of a whole ledger."""
    if export.skr and form != "datev":
        raise WrongUsage("--skr is the chart of accounts of a batch for DATEV", "Leave it out, or give --format datev")
    if form not in CHOOSING and not export.selection.is_everything:
        raise WrongUsage(
            f"--format {form} writes the whole ledger",
            "Leave --from, --to, --account, --per and --allow-incomplete out, or choose camt053, mt940, ofx or datev",
        )
    yield from FORMATS[form](connection, export)


def safe_text(value: str, kind: str) -> str:
    """Returns the SQL of a value of this type as text that a spreadsheet makes no formula of; other types stay as they are."""
    if kind not in ("VARCHAR", "VARCHAR[]"):
        return value
    text = f"array_to_string({value}, '; ')" if kind == "VARCHAR[]" else value
    safe = f"regexp_replace({text}, '{_DANGEROUS_INSIDE}', '\\1''\\2', 'g')"
    return f"case when regexp_matches({text}, '{_DANGEROUS}') then concat('''', {safe}) else {safe} end"


def _safe_select(connection: "DuckDBPyConnection", table: str) -> str:
    described = rows_of(connection, f"select column_name, column_type from (describe {table})")
    shown = ((f'"{column["column_name"]}"', column["column_type"]) for column in described)
    return f"select {', '.join(f'{safe_text(name, kind)} as {name}' for name, kind in shown)} from {table}"


def _statements(connection: "DuckDBPyConnection", export: Export) -> list[Statement]:
    selection = replace(export.selection, per=export.selection.per or "month")
    statements = planned(connection, selection, export.note)
    if not statements:
        export.note("No account has a statement of these days: no file was written")
    return statements


def _published_at(connection: "DuckDBPyConnection") -> datetime:
    (row,) = rows_of(connection, "select published_at from about")
    moment: datetime = row["published_at"]
    return moment


def _copied(connection: "DuckDBPyConnection", query: str, path: Path, options: str, before: str = "") -> Path:
    with _beside(path) as new:
        connection.execute(f"copy ({query}) to {literal(new)} ({options})")
        if before:
            _put_before(new, before.encode())
    return path


def _written(path: Path, lines: Iterable[str], end: str = "\n", encoding: str = "utf-8") -> Path:
    with _beside(path) as new:
        _fill(new, lines, end, encoding)
    return path


def _fill(new: Path, lines: Iterable[str], end: str, encoding: str) -> None:
    with new.open("w", encoding=encoding, newline="") as file:
        file.writelines(f"{line}{end}" for line in lines)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yields a file to write, which replaces `path` at the end. Raises `Failure` when the disk refuses."""
    import duckdb

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        leftovers.remove_half_made(path.parent)
        with replacing(path, of=f".{os.getpid()}") as new:
            yield new
    except (duckdb.IOException, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__  # DuckDB's own text may hold a value
        raise Failure(f"{path} cannot be written ({reason})", "Choose another folder with --out") from None


def _put_before(path: Path, mark: bytes) -> None:
    whole = path.with_name(f"{path.name}.whole")
    try:
        with path.open("rb") as reading, whole.open("wb") as writing:
            writing.write(mark)
            shutil.copyfileobj(reading, writing, 1 << 20)
        whole.replace(path)
    finally:
        with suppress(OSError):
            whole.unlink(missing_ok=True)
