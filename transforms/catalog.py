"""`docs/catalogue.md`: every table of the ledger, what its columns mean, and which raw tables they come from.

    python -m transforms.catalog [LEDGER]      writes it from a built ledger (default: data/ledger.duckdb)

The meanings are the ledger's own comments, so the page can say nothing that the file does not.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from transforms.checks import singular
from transforms.engine import attach_ledger, connect
from transforms.errors import TransformError
from transforms.macros import macros
from transforms.models import LAYERS, Model, in_order, load

PAGE = Path(__file__).parent.parent / "docs" / "catalogue.md"
DEFAULT = Path("data/ledger.duckdb")
USAGE = "usage: python -m transforms.catalog [LEDGER]\n"

_HEAD = """\
# What is in `ledger.duckdb`

Written by `python -m transforms.catalog` from the ledger itself: change `transforms/columns.toml` or a model's header, not
this page. Every table and column carries the same words as its comment in the file.
"""


def catalogue(ledger: Path) -> str:
    """Returns the page for a built ledger. Raises `LedgerUnreadable`."""
    with connect() as connection:
        attach_ledger(connection, ledger)
        columns = connection.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns()"
            " where database_name = 'ledger' order by table_name, column_index"
        ).fetchall()
    models = in_order(load())
    tables = [
        _table(model, [column[1:] for column in columns if column[0] == model.name])
        for model in sorted(models, key=lambda model: model.name)
        if model.layer == "ledger"
    ]
    return "\n".join([_HEAD, *tables, _questions(), _promises(), _lineage(models)])


def main(arguments: list[str]) -> int:
    """Writes the page; 0 when done, 1 when there is no ledger to write it from, 2 for an option: it has none."""
    if arguments and arguments[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    ledger = Path(arguments[0]) if arguments else DEFAULT
    try:
        page = catalogue(ledger)
    except TransformError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def _table(model: Model, columns: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"## `{model.name}`", "", model.sentence, "", f"Grain: {_code(model.grain)}.", ""]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in columns]
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


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
