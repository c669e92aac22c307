"""Control totals: number and sum of the booked rows that were read of each day of an account."""

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from sources._columns import READ_DAYS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.changes.diff import Diff
    from pipelines.store.shape import Shape


def control_totals(connection: "DuckDBPyConnection", shape: "Shape", diff: "Diff", import_id: str) -> pa.Table:
    """Returns the account's rows of `read_days`, as they are once `diff` is loaded.

    From `diff.since` on: totals of the answer, and of rows that it leaves alone. Earlier days: the stored totals, plus or minus
    rows that came or went there. They are never recomputed, or a row that raw history has lost would go unnoticed.
    """
    stored = connection.execute(f"select count(*) from {shape.dataset}.read_days where account_id = ?", [diff.account_id])
    found = connection.sql(
        f"""
        with

        held as (
            select transaction_id, window_on, {shape.booked_on} as day, {shape.money} as amount
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null and {shape.booked}
        ),

        shown as (select transaction_id, {shape.booked_on} as day, {shape.money} as amount from {diff.table} where booked),

        moves as (
            select day, 1 as rows, amount from shown
            union all
            select day, 1 as rows, amount
            from held
            anti join {diff.table} using (transaction_id)
            where window_on < $start and (day >= $start or not $has_totals)
            union all
            select day, -1 as rows, -amount as amount
            from held
            semi join {diff.table} using (transaction_id)
            where day < $start and $has_totals
            union all
            select day, rows, amount from {shape.dataset}.read_days where account_id = $account and day < $start
        )

        select
            $account as account_id, day, cast(sum(rows) as bigint) as rows,
            case when count(amount) = count(*) then try_cast(sum(amount) as decimal(18, 2)) end as amount,
            $import as import_id
        from moves
        group by day
        having sum(rows) <> 0 or sum(amount) <> 0
        order by day
        """,
        params={
            "account": diff.account_id,
            "import": import_id,
            "start": diff.since or date.max,
            "has_totals": bool(stored.fetchall()[0][0]),
        },
    )
    days = found.to_arrow_table().cast(READ_DAYS)
    if days.num_rows:
        return days
    # An account without booked rows has been read, too: its stored totals no longer hold.
    nothing = {"account_id": diff.account_id, "day": date(1970, 1, 1), "rows": 0, "amount": 0, "import_id": import_id}
    return pa.Table.from_pylist([nothing], READ_DAYS)


def accounts_with_totals(connection: "DuckDBPyConnection", shape: "Shape") -> set[str]:
    """Returns the accounts that have stored totals."""
    found = connection.execute(f"select distinct account_id from {shape.dataset}.read_days").fetchall()
    return {account_id for (account_id,) in found}
