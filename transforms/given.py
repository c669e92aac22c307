"""Tables that a build is given beside raw history and seeds (schema `given`): what the program knows of the ledger itself."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
from msgspec import structs

from transforms import warnings
from transforms.checks import promised
from transforms.models import Model
from transforms.run_record import RunRecord

Rows = Sequence[tuple[object, ...]]

_COLUMNS: Mapping[str, str] = {
    "relations": "from_table varchar, from_column varchar, to_table varchar, to_column varchar, checked varchar",
    "checks": "name varchar, kind varchar, table_name varchar, meaning varchar",
    "runs": "run_id varchar, started_at timestamptz, ended_at timestamptz, status varchar, extract_seconds decimal(18, 3),"
    " load_seconds decimal(18, 3), transform_seconds decimal(18, 3), total_seconds decimal(18, 3), requests bigint,"
    " checks_passed bigint, checks_failed bigint, quarantined_rows bigint, open_accounts bigint, stale_accounts bigint",
    "publication": "published_at timestamptz, run_id varchar, version varchar",
}


@dataclass(frozen=True)
class Publication:
    """The time, the run and the version of the program that publish a ledger. A build for no publication knows none of them."""

    published_at: datetime | None = None
    run_id: str | None = None
    """None: a command that reads no bank (`transform`, a restore, an erasure)."""
    version: str = "unknown"
    runs: Sequence[RunRecord] = ()
    """The runs on record, that of `run_id` among them: it has not ended yet."""


NO_PUBLICATION = Publication()


@dataclass(frozen=True)
class Relation:
    """Every value of one column that is not null is in another one. `checked`: `every build`, or `by construction`."""

    from_table: str
    from_column: str
    to_table: str
    to_column: str
    checked: str


def relations(models: Iterable[Model]) -> list[Relation]:
    """Returns the pairs of columns that the headers of the ledger's models declare (`relationship`, `joins`)."""
    found = []
    for model in models:
        for one in model.checks if model.layer == "ledger" else ():
            if one.kind in ("relationship", "joins"):
                checked = "every build" if one.kind == "relationship" else "by construction"
                found.append(Relation(model.name, one.column, *one.target, checked))
    return sorted(found, key=lambda one: (one.from_table, one.from_column, one.to_table))


def checks(models: Iterable[Model]) -> list[tuple[object, ...]]:
    """Returns name, kind, table and meaning of every check of a build, and of every warning; neither has been asked yet."""
    known = list(models)
    names = {model.name for model in known}
    found: list[tuple[object, ...]] = []
    for one in promised(known):
        table = one.name.partition(".")[0]
        found.append((one.name, "check", table if table in names else None, one.meaning))
    return found + [(one.name, "warning", None, one.meaning) for one in warnings.WARNINGS]


def runs(publication: Publication, number_of_checks: int) -> list[tuple[object, ...]]:
    """Returns the runs on record. The one that publishes has passed every check: no other file is published.

    Another one that has not ended was killed, since two never work at once.
    """
    found = []
    for one in publication.runs:
        shown = structs.asdict(one)
        if one.run_id == publication.run_id:
            shown |= {"checks_passed": number_of_checks, "checks_failed": 0}
        elif one.status is None:
            shown["status"] = "killed"
        found.append(tuple(shown.values()))
    return found


def tables(models: Sequence[Model], publication: Publication = NO_PUBLICATION) -> dict[str, Rows]:
    """Returns the rows of every given table."""
    listed = checks(models)
    return {
        "relations": [tuple(vars(one).values()) for one in relations(models)],
        "checks": listed,
        "runs": runs(publication, sum(kind == "check" for _, kind, *_ in listed)),
        "publication": [(publication.published_at, publication.run_id, publication.version)],
    }


def fill(connection: duckdb.DuckDBPyConnection, given: Mapping[str, Rows]) -> None:
    """Makes the schema `given` with its tables."""
    connection.execute("create schema given")
    for name, columns in _COLUMNS.items():
        connection.execute(f"create table given.{name} ({columns})")
        if rows := given.get(name):
            by_column = [list(column) for column in zip(*rows, strict=True)]
            connection.execute(f"insert into given.{name} select {', '.join(['unnest(?)'] * len(by_column))}", by_column)


def prints(given: Mapping[str, Rows]) -> dict[str, str]:
    """Returns a fingerprint of each given table."""
    return {
        f"given.{name}": hashlib.sha256(json.dumps(list(given.get(name, ())), default=str).encode()).hexdigest()
        for name in _COLUMNS
    }
