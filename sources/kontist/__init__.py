"""Kontist: a German business bank with a JSON API. Key, windows, write mode and cost of what is read from it.

| table | key | what a read claims | requests when nothing is new |
|---|---|---|---|
| `accounts` | `account_id` | the accounts that were read | 1 |
| `transactions` | `transaction_id` (the bank's own) | the days it saw whole | 1 an account |
| `standing_orders`, `timed_orders` | `order_id` | the account's whole list | 2 an account |

Each account is read newest first until a whole page is known and unchanged; what was seen becomes the account's window, and
inside it the bank's answer replaces ours (history is kept). Amounts are integer euro cents, negative when money leaves;
booking days are Berlin's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sources.kontist.source import kontist
else:

    def __getattr__(name: str) -> object:
        """Imports the dlt source when it is asked for: the import of dlt takes long."""
        if name == "kontist":
            from sources.kontist.source import kontist

            return kontist
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["kontist"]
