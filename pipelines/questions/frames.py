"""Gives tables of the published ledger as pandas DataFrames, with exact money: `frame("transactions")`, `frame("select …")`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage

if TYPE_CHECKING:
    import pandas as pd


def frame(what: str, *, data_dir: Path | str | None = None) -> "pd.DataFrame":
    """Returns a table or view of the published ledger, or what a query finds, as a DataFrame.

    Money is `Decimal` (dtype object), a day a `date`, a moment a timestamp in UTC, a whole number `Int64`, a truth `boolean`: a
    missing value makes no float of them. Without `data_dir` the settings name the data directory, as for every command.

    Raises `WrongUsage` for a table that the ledger does not have, and for a query that it does not understand; `Failure` without
    pandas, or where the ledger cannot be read.
    """
    from pipelines.settings import load_settings
    from pipelines.store.ledger_reader import ledger_of

    try:
        import pandas as pd
    except ImportError:
        raise Failure("pandas is not installed", "Install it: `pip install pandas`") from None
    import duckdb
    import pyarrow as pa

    exact = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    settings = load_settings(data_dir=None if data_dir is None else Path(data_dir))
    with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        query = f'from "{what}"' if re.fullmatch(r"\w+", what) else what
        try:
            found = connection.sql(query)
            rows = None if found is None else found.to_arrow_table()
        except duckdb.CatalogException as error:
            raise WrongUsage(f"The ledger does not have what `{what}` names", _nearest(error)) from None
        except (duckdb.ParserException, duckdb.BinderException, duckdb.InvalidInputException) as error:
            raise WrongUsage("The query is not understood", str(error).splitlines()[0]) from None
    if rows is None:
        raise WrongUsage("The statement gives no rows", "Give a table or a query")
    frame: pd.DataFrame = rows.to_pandas(types_mapper=exact.get)
    return frame


def _nearest(error: Exception) -> str:
    """Returns DuckDB's own suggestion where it makes one: it names tables of the ledger, never a value."""
    meant = re.search(r'Did you mean "([^"]+)"', str(error))
    return f"Did you mean {meant[1]}?" if meant else "docs/catalogue.md lists the tables and their columns"
