"""The dlt source of Kontist; the package's docstring says what it reads and costs."""

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
from dlt.extract import DltResource

from sources._resources import Batches, resources
from sources.kontist.columns import TABLES


@dlt.source(name="kontist", max_table_nesting=0)
def kontist(settled: Mapping[str, Batches], cursors: Mapping[str, Any], *, all_tables: bool = True) -> Iterable[DltResource]:
    """The tables of Kontist that `settled` fills (a table's name to its batches); the others stay as they are.

    With `all_tables` those without rows are made too. `cursors` are moved in dlt's state with this very load.
    """
    yield from resources("kontist", TABLES, settled, cursors, all_tables=all_tables)
