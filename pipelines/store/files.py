"""Imported files in raw history: stored by plain SQL into the run's copy, as they are read; taken back by retiring their rows.

A file never changes what a bank showed, and no bank changes a file: the ledger's models decide which of both counts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.store.closed_months import SCHEMA as CLOSED_SCHEMA
from pipelines.store.closed_months import TABLES as CLOSED_TABLES
from pipelines.store.closed_months import closed_months
from sources._columns import INSTANT
from sources._merge_scopes import is_versioned
from sources._versions import digest, version_of
from sources.files.columns import TABLES
from sources.files.values import Entry

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FILE = "file"
"""The source's name in SQL and JSON, and its schema in raw history."""

Day = Counter[Decimal]
"""The amounts of one day, each with the number of its rows."""


@dataclass(frozen=True)
class StoredFile:
    """A file in raw history."""

    file_id: str
    account_id: str
    name: str
    sha256: str
    undone_at: datetime | None


def stored(connection: "DuckDBPyConnection") -> list[StoredFile]:
    """Returns every file that was ever imported, the oldest first."""
    rows = connection.execute(
        "select file_id, account_id, name, sha256, undone_at from file.files order by imported_at, file_id"
    ).fetchall()
    return [StoredFile(*row) for row in rows]


def last_days(connection: "DuckDBPyConnection") -> dict[str, date]:
    """Returns the last day that files cover of each account."""
    rows = connection.execute(
        "select account_id, max(window_end) from file.imports where status = 'complete' group by account_id"
    ).fetchall()
    return dict(rows)


def add(connection: "DuckDBPyConnection", at: datetime, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Adds rows to the tables of files; a versioned row is valid from `at` on."""
    for name, listed in rows.items():
        schema, given = TABLES[name], listed
        if is_versioned(schema):
            given = [row | {"row_version": version_of(row), "_dlt_valid_from": at} for row in listed]
            schema = pa.schema([*schema, pa.field("_dlt_valid_from", INSTANT)])
        shown_now = pa.Table.from_pylist(given, schema=schema)  # noqa: F841  # read by its name in the query
        connection.execute(f"insert into file.{name} by name from shown_now")


def identified(account_id: str, entries: Iterable[Entry]) -> list[tuple[str, int, Entry]]:
    """Returns each entry with its id, the same in every file that holds its day, and its number among the day's equal ones."""
    counted: Counter[tuple[date, Decimal]] = Counter()
    found = []
    for entry in entries:
        group = (entry.booked_on, entry.amount)
        counted[group] += 1
        name = digest(str(entry.booked_on), str(entry.amount), str(counted[group]))
        found.append((f"{account_id}:file-{name[:24]}", counted[group], entry))
    return found


def days_of_files(connection: "DuckDBPyConnection", account_id: str) -> dict[date, Day]:
    """Returns the days that files of the account cover, each with its amounts."""
    covered = connection.execute(
        "select distinct cast(unnest(generate_series(window_start, window_end, interval 1 day)) as date) from file.imports"
        " where account_id = ? and status = 'complete'",
        [account_id],
    ).fetchall()
    days: dict[date, Day] = {day: Counter() for (day,) in covered}
    for day, amount, rows in connection.execute(
        "select window_on, amount, count(distinct transaction_id) from file.transactions"
        " where account_id = ? and _dlt_valid_to is null group by all",
        [account_id],
    ).fetchall():
        days.setdefault(day, Counter())[amount] = rows
    return days


def balances_of_files(connection: "DuckDBPyConnection", account_id: str, days: Iterable[date]) -> dict[date, Decimal]:
    """Returns the balances that statements of the account give, by the day that ends with it.

    Of `days` that lie within a statement it is the opening balance with the entries until then.
    """
    rows = connection.execute(
        """
        with counting as (
            select file_id, first_on, last_on, opening_balance, closing_balance
            from file.statements
            where account_id = $account and closing_balance is not null
                and file_id in (select file_id from file.files where undone_at is null)
        ),
        within as (
            select any_value(opening_balance) + coalesce(sum(amount), 0) as balance, asked.day
            from (select unnest($days::date[]) as day) as asked
            inner join counting on asked.day between first_on and last_on - 1
            left join file.transactions as entries
                on entries.file_id = counting.file_id and entries.account_id = $account
                and window_on between first_on and asked.day and _dlt_valid_to is null
            group by counting.file_id, first_on, last_on, asked.day
        )
        select day, balance from within
        union select first_on - 1, opening_balance from counting
        union select last_on, closing_balance from counting
        """,
        {"account": account_id, "days": sorted(days)},
    ).fetchall()
    return dict(rows)


def covers(connection: "DuckDBPyConnection", account_id: str, first: date, last: date) -> bool:
    """Returns whether files cover every one of these days of the account."""
    rows = connection.execute(
        "select count(distinct day) from (select cast(unnest(generate_series(greatest(window_start, $first),"
        " least(window_end, $last), interval 1 day)) as date) as day from file.imports"
        " where account_id = $account and status = 'complete' and window_start <= $last and window_end >= $first)",
        {"account": account_id, "first": first, "last": last},
    ).fetchall()
    return bool(rows == [((last - first).days + 1,)])


def take_back(connection: "DuckDBPyConnection", file_ids: Sequence[str], at: datetime) -> None:
    """Retires the rows of these files: they stay on record, and count no more."""
    ids = list(file_ids)
    connection.execute(
        "update file.transactions set _dlt_valid_to = ? where _dlt_valid_to is null and file_id in (select unnest(?))", [at, ids]
    )
    connection.execute("update file.files set undone_at = ? where file_id in (select unnest(?))", [at, ids])
    connection.execute(
        "update file.imports set status = 'skipped', reason = 'taken back' where run_id in (select unnest(?))", [ids]
    )
    connection.execute(
        "update file.accounts set _dlt_valid_to = ? where _dlt_valid_to is null"
        " and account_id not in (select account_id from file.files where undone_at is null)",
        [at],
    )


def erase(connection: "DuckDBPyConnection", file_ids: Sequence[str]) -> dict[str, int]:
    """Removes every row of these files, and the accounts that are left without a file; returns the rows removed by table."""
    ids, removed = list(file_ids), dict[str, int]()
    accounts = accounts_of_only(connection, ids)
    for table, column in (("transactions", "file_id"), ("statements", "file_id"), ("imports", "run_id"), ("files", "file_id")):
        removed[f"{FILE}.{table}"] = _deleted(connection, f"{FILE}.{table}", column, ids)
    removed[f"{FILE}.accounts"] = _deleted(connection, f"{FILE}.accounts", "account_id", accounts)
    if any(month.account_id in accounts for month in closed_months(connection)):
        for name in CLOSED_TABLES:
            removed[f"{CLOSED_SCHEMA}.{name}"] = _deleted(connection, f"{CLOSED_SCHEMA}.{name}", "account_id", accounts)
    return {table: rows for table, rows in removed.items() if rows}


def accounts_of_only(connection: "DuckDBPyConnection", file_ids: Sequence[str]) -> list[str]:
    """Returns the accounts that no bank and no other file shows."""
    rows = connection.execute(
        "select distinct account_id from file.accounts semi join file.files using (account_id)"
        " where account_id not in (select account_id from file.files where file_id not in (select unnest(?))) order by 1",
        [list(file_ids)],
    ).fetchall()
    return [account_id for (account_id,) in rows]


def closed_of_files(connection: "DuckDBPyConnection", file_ids: Sequence[str]) -> list[tuple[str, date]]:
    """Returns account and month of the closed months that hold entries of these files, and stay when the files are erased."""
    if not closed_months(connection):
        return []
    rows = connection.execute(
        f"""
        select distinct closed.account_id, closed.month
        from {CLOSED_SCHEMA}.transactions as closed
        left join file.accounts as before on before.account_id = closed.account_id and before.same_as is not null
        inner join file.transactions as entries
            on entries.account_id = coalesce(before.same_as, closed.account_id)
            and split_part(entries.transaction_id, ':', -1) = split_part(closed.transaction_id, ':', -1)
        where entries.file_id in (select unnest($ids)) and closed.account_id not in (select unnest($gone))
        order by all
        """,
        {"ids": list(file_ids), "gone": accounts_of_only(connection, file_ids)},
    ).fetchall()
    return [(account_id, month) for account_id, month in rows]


def _deleted(connection: "DuckDBPyConnection", table: str, column: str, values: list[str]) -> int:
    ((rows,),) = connection.execute(f"delete from {table} where {column} in (select unnest(?))", [values]).fetchall()
    return int(rows)


def move(connection: "DuckDBPyConnection", account_id: str, to: str, at: datetime) -> int:
    """Moves the rows of files from one account to another; returns the number of files, those taken back included.

    The ids of its entries become those that they would have there. The account is gone; one with closed months stays on record.
    """
    values = {"old": account_id, "new": to}
    connection.execute(
        "update file.transactions set account_id = $new, transaction_id = concat($new, substr(transaction_id, length($old) + 1))"
        " where account_id = $old",
        values,
    )
    for table in ("statements", "imports"):
        connection.execute(f"update file.{table} set account_id = $new where account_id = $old", values)
    ((files,),) = connection.execute("update file.files set account_id = $new where account_id = $old", values).fetchall()
    if any(month.account_id == account_id for month in closed_months(connection)):
        connection.execute(
            "update file.accounts set same_as = ?, _dlt_valid_to = coalesce(_dlt_valid_to, ?) where account_id = ?",
            [to, at, account_id],
        )
    else:
        connection.execute("delete from file.accounts where account_id = ?", [account_id])
    return int(files)
