"""The models: plain SQL files, the header that describes each, and the order that their SQL implies.

A model is one `select` with a header of three comment lines (the third may be missing):

    -- One sentence: what a row is.
    -- grain:  the columns that identify a row
    -- checks: not_null(a, b), accepted(a, 'x', 'y'),
    --         relationship(a, other_table), joins(b, other_table.c)

`relationship` is checked at every build; `joins` holds by the models' construction, and the tests hold it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb

from transforms.errors import ModelError

FOLDER = Path(__file__).parent / "models"
LAYERS = ("staging", "intermediate", "ledger")
"""Built in this order. A model reads its own layer or an earlier one, and only staging reads `raw`."""
GIVEN = ("raw.", "seeds.", "given.")
"""Where tables come from that no model makes; seeds and `given` are typed and checked before, so any model may read them."""

_HEADER = re.compile(
    r"-- (?P<sentence>[^\n]+)\n"
    r"-- grain:  (?P<grain>[a-z0-9_]+(?:, [a-z0-9_]+)*)\n"
    r"(?:-- checks: (?P<checks>[^\n]+(?:\n--         [^\n]+)*)\n)?"
    r"(?P<sql>\n.*)",
    re.DOTALL,
)
_CHECK = re.compile(r"(?P<kind>not_null|accepted|relationship|joins)\((?P<arguments>[^()]*)\)(?:, |$)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")
_TABLE = re.compile(
    r'"type":"BASE_TABLE"[^{}]*?"schema_name":"(?P<schema>[^"]*)","table_name":"(?P<table>[^"]*)"[^{}]*?"catalog_name":"(?P<catalog>[^"]*)"'
)
_STEP = re.compile(r'"key":"(?P<name>[^"]*)","value":\{"aliases"')
_VALUE = re.compile(r"'[^']*'|\d+")
_TABLES_BY_SQL: dict[str, frozenset[str]] = {}


@dataclass(frozen=True)
class HeaderCheck:
    """One call in a model's `checks:` line; `column` is its first argument, `values` what follows it."""

    kind: str
    column: str
    values: tuple[str, ...] = ()

    @property
    def target(self) -> tuple[str, str]:
        """Returns the table and the column that `relationship` and `joins` point to; by default of the same name."""
        table, _, column = self.values[0].partition(".")
        return table, column or self.column


@dataclass(frozen=True, kw_only=True)
class Model:
    """One SQL file."""

    name: str
    layer: str
    sentence: str
    grain: tuple[str, ...]
    checks: tuple[HeaderCheck, ...]
    sql: str = field(repr=False)
    tables: frozenset[str] = frozenset()
    """Every table that the SQL reads, once `with_tables` has read it: `raw.bank.table`, `seeds.name` or `layer.model`."""

    @property
    def table(self) -> str:
        """Returns the name that other models and checks use."""
        return f"{self.layer}.{self.name}"

    @property
    def refs(self) -> frozenset[str]:
        """Returns the models that must be built before this one."""
        return frozenset(table for table in self.tables if not table.startswith(GIVEN))

    @property
    def raw_refs(self) -> frozenset[str]:
        """Returns the raw tables that the SQL reads."""
        return frozenset(table for table in self.tables if table.startswith("raw."))


def load(folder: Path = FOLDER) -> tuple[Model, ...]:
    """Returns every model below `folder`, by layer and name. Cheap: the SQL is not parsed."""
    found = tuple(
        parse(path.stem, layer, path.read_text(encoding="utf-8"))
        for layer in LAYERS
        for path in sorted((folder / layer).glob("*.sql"))
    )
    if not found:
        raise ModelError(f"No model is below {folder}: the installation is incomplete.")
    return found


def parse(name: str, layer: str, text: str) -> Model:
    """Returns one model from the text of its file. Raises `ModelError` for a header that lacks a part."""
    header = _HEADER.fullmatch(text)
    if header is None:
        raise ModelError(f"{layer}/{name}.sql must begin with `-- sentence`, `-- grain:` and, if any, `-- checks:`.")
    return Model(
        name=name,
        layer=layer,
        sentence=header["sentence"],
        grain=tuple(header["grain"].split(", ")),
        checks=tuple(_header_checks(f"{layer}/{name}.sql", (header["checks"] or "").replace("\n--         ", " "))),
        sql=header["sql"].strip(),
    )


def in_order(models: Iterable[Model], connection: duckdb.DuckDBPyConnection | None = None) -> tuple[Model, ...]:
    """Returns the models, each after those that it reads, layer by layer. Raises `ModelError` when that cannot be."""
    by_table = {model.table: model for model in with_tables(models, connection)}
    for model in by_table.values():
        _keeps_to_its_layer(model, by_table)
    sorter = TopologicalSorter({table: sorted(model.refs) for table, model in sorted(by_table.items())})
    try:
        order = tuple(sorter.static_order())
    except CycleError as error:
        raise ModelError(f"These models read each other in a circle: {' -> '.join(error.args[1])}.") from None
    return tuple(sorted((by_table[table] for table in order), key=lambda model: LAYERS.index(model.layer)))


def with_tables(models: Iterable[Model], connection: duckdb.DuckDBPyConnection | None = None) -> list[Model]:
    """Returns the models with the tables that their SQL reads.

    A `connection` that is open already saves the making of one: it reads the SQL and is not changed. Each text is read once a
    process: reading all of them is a tenth of a small build.
    """
    asked = list(models)
    unread = [model for model in asked if model.sql not in _TABLES_BY_SQL]
    if unread:
        for model, parsed in zip(unread, _read_by_duckdb(unread, connection), strict=True):
            _TABLES_BY_SQL[model.sql] = _tables(model, *parsed)
    return [replace(model, tables=_TABLES_BY_SQL[model.sql]) for model in asked]


def _keeps_to_its_layer(model: Model, by_table: Mapping[str, Model]) -> None:
    if model.raw_refs and model.layer != "staging":
        raise ModelError(f"{model.table} reads {min(model.raw_refs)}, which only staging may.")
    for ref in sorted(model.refs):
        if ref not in by_table:
            raise ModelError(f"{model.table} reads {ref}, which no model makes.")
        if LAYERS.index(by_table[ref].layer) > LAYERS.index(model.layer):
            raise ModelError(f"{model.table} reads {ref}, which is built later.")


def _read_by_duckdb(models: Sequence[Model], connection: duckdb.DuckDBPyConnection | None = None) -> Iterator[tuple[str, int]]:
    """Yields DuckDB's own parse of each model's SQL, as JSON, and its number of selects.

    All in one query: a second parser took five times as long.
    """
    query = (
        "select json, coalesce(json_array_length(json, '$.statements'), 0) from (select json_serialize_sql(sql) as json, nth"
        " from (select unnest($1) as sql, generate_subscripts($1, 1) as nth)) order by nth"
    )
    with nullcontext(connection) if connection is not None else duckdb.connect() as reader:
        yield from reader.execute(query, [[model.sql for model in models]]).fetchall()


def _tables(model: Model, read: str, statements: int) -> frozenset[str]:
    if statements != 1:
        raise ModelError(f"{model.table} is not one select that DuckDB can read.")
    steps = {match["name"] for match in _STEP.finditer(read)}
    found = set()
    for match in _TABLE.finditer(read):
        catalog, schema = match["catalog"], match["schema"]
        name = ".".join(part for part in (catalog, schema, match["table"]) if part)
        if name in steps:
            continue
        if catalog != "raw" and (catalog or schema not in (*LAYERS, "seeds", "given")):
            raise ModelError(
                f"{model.table} reads {name}, which names neither a model with its layer, nor a seed, nor a raw table."
            )
        found.add(name)
    return frozenset(found)


def _header_checks(file: str, text: str) -> Iterable[HeaderCheck]:
    position = 0
    while position < len(text):
        match = _CHECK.match(text, position)
        if match is None:
            raise ModelError(f"{file}: the `checks:` line is not understood from `{text[position:]}` on.")
        position = match.end()
        arguments = tuple(match["arguments"].split(", "))
        if match["kind"] == "not_null":
            good = all(map(_NAME.fullmatch, arguments))
            found = [HeaderCheck("not_null", column) for column in arguments]
        else:
            first, *others = arguments
            form = _VALUE if match["kind"] == "accepted" else _TARGET
            good = bool(_NAME.fullmatch(first) and others) and all(map(form.fullmatch, others))
            found = [HeaderCheck(match["kind"], first, tuple(others))]
        if not good:
            raise ModelError(f"{file}: `{match['kind']}({match['arguments']})` has arguments that are not understood.")
        yield from found
