"""Kontomatik: account information for Central and Eastern Europe, read through consents. Key, windows, write mode and cost.

| table | key | what a read claims |
|---|---|---|
| `owners` | `consent_id`, `position` | the consent's owners |
| `accounts` | `account_id` | the accounts and cards that the import showed |
| `transactions` | `transaction_id`: account, day, amount, occurrence (the bank gives none) | from the day after `since` on |
| `consents` | `consent_id` | rewritten at every run; no token |

One import is one session and one of four in 24 hours, whatever it brings. Inside an account's window the bank's answer replaces
ours (history is kept). Amounts are exact decimals in the account's currency, negative when money leaves.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
from dlt.extract import DltResource

from sources._resources import Batches, resources
from sources.kontomatik.columns import TABLES


@dlt.source(name="kontomatik", max_table_nesting=0)
def kontomatik(settled: Mapping[str, Batches], cursors: Mapping[str, Any], *, all_tables: bool = True) -> Iterable[DltResource]:
    """The tables of Kontomatik that `settled` fills (a table's name to its batches); the others stay as they are.

    With `all_tables` those without rows are made too. `cursors` are moved in dlt's state with this very load.
    """
    yield from resources("kontomatik", TABLES, settled, cursors, all_tables=all_tables)
