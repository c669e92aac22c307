"""The public tables of a ledger, with the columns as the file has them: what every generated document describes."""

from dataclasses import dataclass
from pathlib import Path

from transforms.engine import attach_ledger, connect
from transforms.models import Model, load


@dataclass(frozen=True)
class Column:
    """One column; `meaning` is its comment in the file."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One public table, and the model that makes it."""

    model: Model
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """Returns the name of the table."""
        return self.model.name


def tables(ledger: Path) -> list[Table]:
    """Returns the public tables of a built ledger, by name. Raises `LedgerUnreadable`."""
    with connect() as connection:
        attach_ledger(connection, ledger)
        rows = connection.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns()"
            " where database_name = 'ledger' order by table_name, column_index"
        ).fetchall()
    models = sorted((model for model in load() if model.layer == "ledger"), key=lambda model: model.name)
    return [Table(model, tuple(Column(*row[1:]) for row in rows if row[0] == model.name)) for model in models]
