"""Answers what raw history knows of an account before its bank is asked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.store.banks import Bank
from pipelines.store.shape import Shape
from pipelines.store.unasked import completed
from sources.kontist.unasked import NOTHING, Unasked

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection


def unchanged(
    connection: "DuckDBPyConnection", shape: Shape, account_id: str, rows: pa.RecordBatch, unasked: Unasked = NOTHING
) -> bool:
    """Returns whether every one of `rows` is known in exactly this version. Only for banks whose rows carry their own id.

    `unasked` are the columns that the bank was not asked for: there the known value counts.
    """
    page_shown = pa.Table.from_batches([rows])  # read by its name in the query
    ((unknown,),) = connection.execute(
        f"""
        with

        page_completed as ({completed(shape, "from page_shown", "$account", unasked)}),

        page as (select $account || ':' || {shape.key} as transaction_id, * from page_completed)

        select count(*) from page
        where {shape.version()} not in (
            select row_version from {shape.table}
            where account_id = $account and _dlt_valid_to is null and window_on >= (select min(window_on) from page_shown)
        )
        """,
        {"account": account_id},
    ).fetchall()
    del page_shown
    return bool(unknown == 0)


def oldest_pending(connection: "DuckDBPyConnection", shape: Shape, account_id: str) -> date | None:
    """Returns the day of the oldest pending row that is known."""
    row = connection.execute(
        f"select min(window_on) from {shape.table} where account_id = ? and _dlt_valid_to is null and {shape.pending}",
        [account_id],
    ).fetchone()
    return row[0] if row else None


def pending_since(connection: "DuckDBPyConnection", shape: Shape) -> dict[str, date]:
    """Returns the day of the oldest known pending row of every account that has one."""
    rows = connection.execute(
        f"select account_id, min(window_on) from {shape.table} where _dlt_valid_to is null and {shape.pending} group by all"
    ).fetchall()
    return dict(rows)


@dataclass(frozen=True)
class KnownAccount:
    """Implements `sources._protocols.Known` on a connection of its own: reading goes on beside other work.

    Of a bank whose rows carry their own id, with amounts in cents.
    """

    connection: "DuckDBPyConnection"
    bank: Bank
    account_id: str
    unasked: Callable[[], Unasked] = lambda: NOTHING
    """Returns the columns that the bank was not asked for so far."""

    def unchanged(self, rows: "pa.RecordBatch") -> bool:
        """Returns whether a page brings nothing new."""
        return unchanged(self.connection, self.bank.shape, self.account_id, rows, self.unasked())

    def oldest_pending(self) -> date | None:
        """Returns the day of the oldest known reservation."""
        return oldest_pending(self.connection, self.bank.shape, self.account_id)

    def balance_before(self, since: date | None) -> int | None:
        """Returns the balance after the last read, less what was booked from `since` on."""
        ((cents,),) = self.connection.execute(
            f"""
            select
                any_value(balance_cents) - (
                    select coalesce(sum(amount_cents), 0) from {self.bank.shape.table}
                    where account_id = $account and _dlt_valid_to is null and window_on >= $since and {self.bank.shape.booked}
                )
            from {self.bank.name}.accounts where account_id = $account and _dlt_valid_to is null
            """,
            {"account": self.account_id, "since": since or date.min},
        ).fetchall()
        return None if cents is None else int(cents)


def known_as(aliases: Mapping[str, str], account_ids: Iterable[str]) -> dict[str, str]:
    """Returns the id under which each account is known. An account that is listed beside its alias keeps its own id."""
    listed = set(account_ids)
    return {one: aliases[one] if one in aliases and aliases[one] not in listed else one for one in listed}
