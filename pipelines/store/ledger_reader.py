"""Opens the published ledger and raw history for a question: read-only, with errors that say what to do."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure, WrongUsage
from pipelines.store.leftovers import own_spill
from pipelines.store.lock import refuse_closed
from pipelines.store.losses import missing_ledger, missing_raw, other_ledger, refuse
from pipelines.store.raw_copy import MEMORY
from pipelines.store.read_only import NO_BAR
from pipelines.store.sql import literal, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class LedgerUnreadable(Failure):
    """A ledger is damaged, of another version, locked by another program, or closed to this user."""


@contextmanager
def ledger_of(data_dir: Path, *, with_raw: bool = False, memory: str = MEMORY) -> Iterator["DuckDBPyConnection"]:
    """Opens a connection with the catalog `ledger`, and `raw` if asked for.

    Raises `HistoryLost` when one is missing that was there, another `Failure` when one cannot be read.
    """
    import duckdb

    ledger = data_dir / "ledger.duckdb"
    refuse_closed(data_dir)
    refuse(missing_ledger(data_dir))
    if not ledger.exists():
        raise WrongUsage(f"There is no ledger in {data_dir}", no_ledger(data_dir))
    connection = duckdb.connect(":memory:", config={"memory_limit": memory})
    try:
        connection.execute(f"set TimeZone = 'UTC'; {NO_BAR}; set temp_directory = {literal(own_spill(data_dir))}")
        _attach(connection, ledger, "ledger")
        if with_raw:
            refuse(missing_raw(data_dir), other_ledger(data_dir))
            _attach(connection, data_dir / "raw.duckdb", "raw")
        connection.execute("use ledger")
        yield connection
    except duckdb.Error as error:
        raise unreadable(ledger, error) from None
    finally:
        connection.close()


def no_ledger(data_dir: Path) -> str:
    """Returns the next step where there is no ledger: make one, or name the sandbox's folder if only that was tried."""
    if (data_dir / "raw.duckdb").exists():
        return "`python -m pipelines transform` builds it from raw history"
    if (data_dir / "sandbox" / "ledger.duckdb").exists():
        return f"The sandbox's is in `--data-dir {data_dir / 'sandbox'}`; `python -m pipelines run` makes your own"
    return "`python -m pipelines run` makes it"


def unreadable(ledger: Path, error: Exception) -> LedgerUnreadable:
    """Returns the failure for a ledger that cannot be opened, without the error's own text."""
    if "Could not set lock" in str(error):
        if "Conflicting lock" not in str(error):
            return LedgerUnreadable(
                f"The ledger {ledger} cannot be read: its file system cannot lock files",
                "Keep the data directory on a local disk, or mount the share with locks",
            )
        process = re.search(r"\(PID \d+\)", str(error))
        who = f"another program {process.group()}" if process else "another program"
        return LedgerUnreadable(
            f"The ledger {ledger} cannot be read: {who} has it open for writing",
            "Open it read-only there, or close it. Runs are not held up: they put a new file in its place",
        )
    if "Permission denied" in str(error):
        return LedgerUnreadable(
            f"The ledger {ledger} cannot be read: this user may not",
            "Give the command as the user who runs it, or let that user permit it",
        )
    return LedgerUnreadable(
        f"The ledger {ledger} cannot be read ({type(error).__name__}): it is damaged, or not of this version",
        f"Build it again with `python -m pipelines transform --data-dir {shlex.quote(str(ledger.parent))}`",
    )


LISTS_ACCOUNTS = '`python -m pipelines query "select account_id, display_name from accounts"`'
"""The command that lists the accounts with their ids, also of those without an IBAN."""


def account_of(connection: "DuckDBPyConnection", name: str) -> dict[str, Any]:
    """Returns the account with this id, or the only one with an IBAN that ends so. Raises `WrongUsage`."""
    wanted = name.replace(" ", "").replace("…", "").upper()
    found = rows_of(
        connection,
        "select account_id, source, institution, account_type, currency, right(iban, 4) as iban_ends, ledger_account,"
        " display_name,"
        " account_id = $1 as exact from accounts"
        " where account_id = $1 or ($2 <> '' and ends_with(upper(replace(iban, ' ', '')), $2)) order by exact desc, account_id",
        [name, wanted],
    )
    # a card repeats the IBAN of the account behind it: whoever names an IBAN means the account
    chosen = [one for one in found if one["exact"]] or [one for one in found if one["account_type"] != "card"] or found
    if not chosen:
        raise WrongUsage("No account has this id, or an IBAN that ends so", f"{LISTS_ACCOUNTS} lists the accounts")
    if len(chosen) > 1:
        ids = ", ".join(one["account_id"] for one in chosen)
        raise WrongUsage(f"{len(chosen)} accounts have an IBAN that ends so", f"Name one by its id: {ids}")
    return {key: value for key, value in chosen[0].items() if key != "exact"}


def _attach(connection: "DuckDBPyConnection", path: Path, name: str) -> None:
    connection.execute(f"attach {literal(path)} as {name} (read_only)")
