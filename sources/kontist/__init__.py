"""Kontist: a German business bank that speaks JSON. Key, windows, write mode and cost of what is read from it.

| table | key | what a read claims | requests when nothing is new |
|---|---|---|---|
| `accounts` | `account_id` | the accounts that were read | 1 |
| `transactions` | `transaction_id` (the bank's own) | the days it saw whole | 1 an account |
| `standing_orders`, `timed_orders` | `order_id` | the account's whole list | 2 an account |

Each account is read newest first until a whole page is known and unchanged; what was seen becomes the account's window, and
inside it the bank's answer replaces ours (history is kept). Amounts are integer euro cents, negative when money leaves;
booking days are Berlin's.
"""

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
