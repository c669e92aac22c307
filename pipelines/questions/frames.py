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
    A query reads the ledger and no other file, and writes none.

    Raises `WrongUsage` for a table that the ledger does not have, and for a query that it does not understand or that cannot be
    computed; `Failure` without pandas, or where the ledger cannot be read.
    """
    from pipelines.questions.query import nearest, readable_ledger
    from pipelines.settings import load_settings

    try:
        import pandas as pd
    except ImportError:
        raise Failure("pandas is not installed", "Install it: `pip install pandas`") from None
    import duckdb
    import pyarrow as pa

    settings = load_settings(data_dir=None if data_dir is None else Path(data_dir))
    query = "from " + ".".join(f'"{part}"' for part in what.split(".")) if re.fullmatch(r"\w+(\.\w+)?", what) else what
    with readable_ledger(settings) as connection:
        try:
            found = connection.sql(query)
            rows = None if found is None else found.to_arrow_table()
        except duckdb.CatalogException as error:
            raise WrongUsage(f"The ledger has no table or column that `{what}` names", nearest(error)) from None
    if rows is None:
        raise WrongUsage("The statement gives no rows", "Give a table or a query")
    whole = {
        kind: pd.Int64Dtype() for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())
    }
    exact = {**whole, pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    try:
        frame: pd.DataFrame = rows.to_pandas(types_mapper=exact.get)
    except (ValueError, NotImplementedError):
        raise WrongUsage("A day is not within the years 1 to 9999", "Leave it out, or cast it to text") from None
    return frame
