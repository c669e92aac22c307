"""The models: plain SQL files, the header that describes each, and the order that their SQL implies.

A model is one `select` with a header of three comment lines (the third may be missing):

    -- One sentence: what a row is.
    -- grain:  the columns that identify a row
    -- checks: not_null(a, b), accepted(a, 'x', 'y'),
    --         relationship(a, other_table), joins(b, other_table.c)

`relationship` is checked at every build; `joins` holds by the models' construction, and the tests hold it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

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
_NO_CODE = re.compile(r"--[^\n]*|'[^']*'")
_STEP = re.compile(r"\b([a-z_]\w*)\s+as\s+(?:materialized\s+)?\(")
_READ = re.compile(r"(?<!\bdistinct )\b(?:from|join)\s+([a-z_][\w.]*)(?!\s*\()(?![\w.])")
"""A name after `from` or `join`, which is no function and no part of `is distinct from`."""
_VALUE = re.compile(r"'[^']*'|\d+")


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


def in_order(models: Iterable[Model]) -> tuple[Model, ...]:
    """Returns the models, each after those that it reads, layer by layer. Raises `ModelError` when that cannot be."""
    by_table = {model.table: model for model in with_tables(models)}
    for model in by_table.values():
        _keeps_to_its_layer(model, by_table)
    sorter = TopologicalSorter({table: sorted(model.refs) for table, model in sorted(by_table.items())})
    try:
        order = tuple(sorter.static_order())
    except CycleError as error:
        raise ModelError(f"These models read each other in a circle: {' -> '.join(error.args[1])}.") from None
    return tuple(sorted((by_table[table] for table in order), key=lambda model: LAYERS.index(model.layer)))


def with_tables(models: Iterable[Model]) -> list[Model]:
    """Returns the models with the tables that their SQL reads.

    The names are read by the form in which the models are written. A parser took a tenth of a small build for it; the tests hold
    that one finds the same tables.
    """
    return [replace(model, tables=_tables(model)) for model in models]


def _keeps_to_its_layer(model: Model, by_table: Mapping[str, Model]) -> None:
    if model.raw_refs and model.layer != "staging":
        raise ModelError(f"{model.table} reads {min(model.raw_refs)}, which only staging may.")
    for ref in sorted(model.refs):
        if ref not in by_table:
            raise ModelError(f"{model.table} reads {ref}, which no model makes.")
        if LAYERS.index(by_table[ref].layer) > LAYERS.index(model.layer):
            raise ModelError(f"{model.table} reads {ref}, which is built later.")


def _tables(model: Model) -> frozenset[str]:
    code = _NO_CODE.sub("", model.sql).strip()
    if not code.startswith(("with", "select")) or ";" in code or code.count("(") != code.count(")"):
        raise ModelError(f"{model.table} is not one select.")
    found = frozenset(_READ.findall(code)) - frozenset(_STEP.findall(code))
    for name in sorted(found):
        schema, _, table = name.partition(".")
        if table.count(".") != (schema == "raw") or schema not in ("raw", *LAYERS, "seeds", "given") or not table:
            raise ModelError(
                f"{model.table} reads {name}, which names neither a model with its layer, nor a seed, nor a raw table."
            )
    return found


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
