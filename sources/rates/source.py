"""The dlt source of reference rates."""

from collections.abc import Iterable, Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from sources._columns import dlt_columns
from sources.rates.columns import REFERENCE_RATES


@dlt.source(name="rates", max_table_nesting=0)
def rates(read: pa.Table) -> Iterable[DltResource]:
    """Returns the table `reference_rates`, merged by currency and day."""

    def rows() -> Iterator[Any]:
        yield REFERENCE_RATES.empty_table()
        yield read

    yield dlt.resource(
        rows,
        name="reference_rates",
        columns=dlt_columns(REFERENCE_RATES),
        primary_key=("currency", "day"),
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
    )
