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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sources.kontomatik.source import kontomatik
else:

    def __getattr__(name: str) -> object:
        """Imports the dlt source when it is asked for: the import of dlt takes long."""
        if name == "kontomatik":
            from sources.kontomatik.source import kontomatik

            return kontomatik
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["kontomatik"]
