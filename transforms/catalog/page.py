"""`docs/catalogue.md`: every table of the ledger, what its columns mean, and which raw tables they come from.

The meanings are the ledger's own comments, so the page can say nothing that the file does not.
"""

from collections.abc import Iterable

from transforms.catalog.tables import Table
from transforms.checks import singular
from transforms.macros import macros
from transforms.models import LAYERS, Model, in_order, load

_HEAD = """\
# What is in `ledger.duckdb`

Written by `python -m transforms.catalog` from the ledger itself: change `transforms/columns.toml` or a model's header, not
this page. Every table and column carries the same words as its comment in the file. [er.svg](er.svg) shows which columns refer to
which table.
"""


def catalogue(tables: Iterable[Table]) -> str:
    """Returns the page that describes these tables, the checks, and where the tables come from."""
    described = [_table(table) for table in tables]
    return "\n".join([_HEAD, *described, _questions(), _promises(), _lineage(in_order(load()))])


def _table(table: Table) -> str:
    lines = [f"## `{table.name}`", "", table.model.sentence, "", f"Grain: {_code(table.model.grain)}.", ""]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    lines += [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in table.columns]
    return "\n".join([*lines, ""])


def _questions() -> str:
    lines = ["## What the file answers by itself", "", "| macro | |", "|---|---|"]
    lines += [f"| `{macro.name}({macro.parameters})` | {macro.sentence} |" for macro in macros()]
    return "\n".join([*lines, ""])


def _promises() -> str:
    lines = [
        "## What is checked before a ledger is published",
        "",
        "Every grain, every value that is never missing, every list of values, every reference; and that nothing of this is so:",
        "",
        "| check | a failure means |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {meaning} |" for name, meaning, _ in singular()]
    return "\n".join([*lines, ""])


def _lineage(models: tuple[Model, ...]) -> str:
    lines = ["## Where it comes from", "", "```mermaid", "graph LR"]
    given = sorted({table for model in models for table in model.tables - model.refs})
    layers = [(place, [table for table in given if table.startswith(f"{place}.")]) for place in ("raw", "seeds")] + [
        (layer, sorted(m.table for m in models if m.layer == layer)) for layer in LAYERS
    ]
    for layer, tables in layers:
        lines.append(f"    subgraph {layer}")
        lines += [f'        {_node(table)}["{table.partition(".")[2]}"]' for table in tables]
        lines.append("    end")
    for model in sorted(models, key=lambda model: model.table):
        lines += [f"    {_node(table)} --> {_node(model.table)}" for table in sorted(model.tables)]
    return "\n".join([*lines, "```", ""])


def _node(table: str) -> str:
    return table.replace(".", "_")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
