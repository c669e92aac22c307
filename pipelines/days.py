"""The days of an account: which of them a bank can mean, and what each one holds by what was read."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from sources._columns import READ_DAYS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.settle import Settled, Shape


@dataclass(frozen=True)
class Believable:
    """The days that a row may be of. One of the year 9999 would draw out every table that has a row a day."""

    first: date = date(1970, 1, 1)
    last: date = date.max

    @classmethod
    def on(cls, day: date) -> "Believable":
        """What a bank may show on `day`: nothing that lies more than a year ahead."""
        return cls(last=day + timedelta(days=366))

    def sql(self, shape: "Shape") -> str:
        """SQL that is true for a row of such a day."""
        days = f"window_on, {shape.booked_on}"
        return f"least({days}) >= date '{self.first}' and greatest({days}) <= date '{self.last}'"


ANY_DAY = Believable()


def unbelievable(
    connection: "DuckDBPyConnection", shape: "Shape", spooled: Path | None, believable: Believable
) -> list[tuple[date, dict[str, str]]]:
    """The spooled rows of days that no bank can mean: the day of each, and what the bank said of it as texts."""
    if spooled is None:
        return []
    cursor = connection.execute(
        "select window_on as the_day, cast(columns(* exclude (position)) as varchar)"
        f" from read_parquet({quoted(str(spooled))}, hive_partitioning = false)"
        f" where not ({believable.sql(shape)}) order by position"
    )
    names = [column[0] for column in cursor.description or []][1:]
    return [(day, {name: text for name, text in zip(names, texts, strict=True) if text}) for day, *texts in cursor.fetchall()]


def read_days(connection: "DuckDBPyConnection", shape: "Shape", settled: "Settled", import_id: str) -> pa.Table:
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


def quoted(text: str | None) -> str:
    """`text` inside SQL: a view takes no parameters."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
