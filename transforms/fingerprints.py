"""What each table of a build was made from, as fingerprints: two builds with equal ones hold equal tables.

The key of a model is a hash of its SQL and of the fingerprints of all that it reads. The fingerprint of a raw table, and of a
small intermediate table, is a hash of its content: where the rows are as before, the models that read them are not made again.
The fingerprint of any other model is its key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import duckdb

from transforms.models import Model
from transforms.seeds import Seed

SMALL_TABLE = 50_000
"""Rows up to which an intermediate table is known by its content. A larger one costs more to read than that saves."""


@dataclass(frozen=True)
class Record:
    """What a published ledger was made from, by table; `ledger` is the SHA-256 of the file."""

    program: str
    """Of the program that made it: no other one may keep a table of it."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """By model."""
    found: Mapping[str, str] = field(default_factory=dict)
    """The fingerprint of each raw table, seed and model."""
    ledger: str = ""


def read_record(path: Path) -> Record | None:
    """Returns the record in a file; nothing where there is none that can be read, or where another program wrote it."""
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.program == program() else None


def as_text(record: Record) -> str:
    """Returns a record as the text of its file."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


@cache
def program() -> str:
    """Returns a hash of every file of this package, and the version of DuckDB: either may change what the same SQL makes."""
    digest = hashlib.sha256(duckdb.__version__.encode())
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*.*") if path.suffix in {".py", ".sql", ".toml"}):
        digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Fingerprints:
    """The fingerprints of one build, known one model after the other."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, models: Sequence[Model], seeds: Iterable[Seed]) -> None:
        self.keys: dict[str, str] = {}
        columns = _columns_of_raw(connection, models)
        self.found = {table: _content(connection, table, shape) for table, shape in columns.items()}
        self._shape = _hash(*(f"{table} {shape}" for table, shape in columns.items()))
        origins = {f"seeds.{seed.name}": _hash(seed.origin, seed.sha256) for seed in seeds}
        self.found |= origins | {"seeds.files": _hash(*(f"{name} {origin}" for name, origin in sorted(origins.items())))}
        self._connection = connection

    def key(self, model: Model) -> str:
        """Returns the key of a model, after those of all that it reads; until its content is known, it is its fingerprint."""
        key = _hash(model.sql, *(f"{table} {self.found.get(table)}" for table in sorted(model.tables)))
        self.keys[model.table] = self.found[model.table] = key
        return key

    def made(self, model: Model, rows: int) -> None:
        """Records a table that was made: a small one is known by its content from here on."""
        if rows <= SMALL_TABLE:
            self.found[model.table] = _content(self._connection, model.table, self._shape)

    def record(self) -> Record:
        """Returns the record of a build that is complete."""
        return Record(program(), self.keys, self.found)


def _columns_of_raw(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> dict[str, str]:
    """Returns the columns and types of each raw table that a model reads, as one text. One that is missing has none."""
    found = connection.execute(
        "select concat('raw.', schema_name, '.', table_name) as name,"
        " string_agg(concat(column_name, ' ', data_type), ', ' order by column_index)"
        " from duckdb_columns() where database_name = 'raw' group by name order by name"
    ).fetchall()
    wanted = {table for model in models for table in model.raw_refs}
    return {table: columns for table, columns in found if table in wanted}


def _content(connection: duckdb.DuckDBPyConnection, table: str, shape: str) -> str:
    """Returns a hash of the number of a table's rows, and of the sum of their hashes; the order of rows does not count.

    `shape` stands for the table's columns and types: an intermediate table's follow from those of raw history and the program.
    """
    found = connection.execute(f"select count(*), sum(hash(whole)) from {table} as whole").fetchone() or ()
    return _hash(shape, *map(str, found))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
