"""Control totals: what each day of an account holds by what was read."""

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from sources._columns import READ_DAYS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.changes.diff import Diff
    from pipelines.store.shape import Shape


def read_days(connection: "DuckDBPyConnection", shape: "Shape", settled: "Diff", import_id: str) -> pa.Table:
    """`READ_DAYS` of the account once `settled` is loaded.

    From the first day that changes on, what was read and what that leaves alone. Days before keep what was told of them, and are
    only moved by rows that came or went there: taken from raw history anew, a row that it has lost would be forgotten.
    """
    told = connection.execute(f"select count(*) from {shape.dataset}.read_days where account_id = ?", [settled.account_id])
    found = connection.sql(
        f"""
        with

        held as (
            select transaction_id, window_on, {shape.booked_on} as day, {shape.money} as amount
            from {shape.table}
            where account_id = $account and _dlt_valid_to is null and {shape.booked}
        ),

        shown as (select transaction_id, {shape.booked_on} as day, {shape.money} as amount from {settled.table} where booked),

        moves as (
            select day, 1 as rows, amount from shown
            union all
            select day, 1 as rows, amount
            from held
            anti join {settled.table} using (transaction_id)
            where window_on < $start and (day >= $start or not $is_told)
            union all
            select day, -1 as rows, -amount as amount
            from held
            semi join {settled.table} using (transaction_id)
            where day < $start and $is_told
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
            "account": settled.account_id,
            "import": import_id,
            "start": settled.since or date.max,
            "is_told": bool(told.fetchall()[0][0]),
        },
    )
    days = found.to_arrow_table().cast(READ_DAYS)
    if days.num_rows:
        return days
    # an account without booked rows has been read, too: what was told of it before is no longer so
    nothing = {"account_id": settled.account_id, "day": date(1970, 1, 1), "rows": 0, "amount": 0, "import_id": import_id}
    return pa.Table.from_pylist([nothing], READ_DAYS)


def known_by_days(connection: "DuckDBPyConnection", shape: "Shape") -> set[str]:
    """The accounts that have such days already."""
    found = connection.execute(f"select distinct account_id from {shape.dataset}.read_days").fetchall()
    return {account_id for (account_id,) in found}
