"""The sentence that every table and column of the ledger carries: a model's first line, and `columns.toml`."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import duckdb

from transforms.engine import literal
from transforms.errors import ModelError
from transforms.models import Model

FILE = Path(__file__).with_name("columns.toml")
SHARED = "columns"
"""The section for columns that mean the same in every table."""


@cache
def dictionary() -> Mapping[str, Mapping[str, str]]:
    """Returns `columns.toml`, read once."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def meaning(table: str, column: str) -> str:
    """Returns what the column means. Raises `ModelError` if it is not described."""
    words = dictionary()
    sentence = words.get(table, {}).get(column) or words[SHARED].get(column)
    if sentence is None:
        raise ModelError(f"columns.toml does not say what `{table}.{column}` means: add it to [{table}].")
    return sentence


def statements(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> str:
    """Returns the `comment on` statements for the tables that these models make in the attached `ledger`, and their columns."""
    made = {model.name: model.sentence for model in models if model.layer == "ledger"}
    columns = connection.execute(
        "select table_name, column_name from duckdb_columns() where database_name = 'ledger' and schema_name = 'main'"
        " order by table_name, column_index"
    ).fetchall()
    views = {
        row[0] for row in connection.execute("select view_name from duckdb_views() where database_name = 'ledger'").fetchall()
    }
    return ";\n".join(
        [
            f"comment on {'view' if name in views else 'table'} ledger.main.{name} is {literal(sentence)}"
            for name, sentence in made.items()
        ]
        + [
            f'comment on column ledger.main.{table}."{column}" is {literal(meaning(table, column))}'
            for table, column in columns
            if table in made
        ]
    )
