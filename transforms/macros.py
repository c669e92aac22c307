"""Reads table macros, one SQL file each, and makes them.

`macros/` holds questions that the ledger file answers by itself: they are stored in the file. `helpers/` holds steps that a model
takes more than once: they exist only while the ledger is built. A macro is one `select`, a helper also an expression, with a
header of two comment lines: a sentence, and `given:` its parameters. A parameter of a helper may name a step of the model that
calls it (`query_table`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from transforms.engine import literal
from transforms.errors import ModelError

FOLDER = Path(__file__).parent / "macros"
HELPERS = Path(__file__).parent / "helpers"

_FILE = re.compile(r"-- (?P<sentence>[^\n]+)\n-- given: (?P<parameters>[a-z_]+(?:, [a-z_]+)*)\n\n(?P<sql>.+)", re.DOTALL)
_QUERY = re.compile(r"with\b|select\b")


@dataclass(frozen=True)
class Macro:
    """`<name>(<parameters>)`, to be used as a table, or as a value where it is no query."""

    name: str
    sentence: str
    parameters: str
    sql: str


def macros(folder: Path = FOLDER) -> Iterator[Macro]:
    """Yields every macro of a folder. Raises `ModelError` for a file without its header."""
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.read_text(encoding="utf-8"))
        if match is None:
            raise ModelError(f"{folder.name}/{path.name} must begin with `-- sentence` and `-- given: parameters`.")
        yield Macro(path.stem, match["sentence"], match["parameters"], match["sql"].strip())


def add(connection: duckdb.DuckDBPyConnection) -> None:
    """Stores the ledger's own macros in the attached `ledger`.

    They name tables without the catalog: DuckDB then looks in the catalog in use, so the file may have any name and any alias.
    """
    connection.execute("use ledger")
    for macro in macros():
        connection.execute(f"create macro {macro.name}({macro.parameters}) as table\n{macro.sql}")
        connection.execute(f"comment on macro table {macro.name} is {literal(macro.sentence)}")
    connection.execute("use memory")


def add_helpers(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the macros that models call."""
    for helper in macros(HELPERS):
        body = f"table\n{helper.sql}" if _QUERY.match(helper.sql) else f"(\n{helper.sql}\n)"
        connection.execute(f"create macro {helper.name}({helper.parameters}) as {body}")
