"""Ledgers of a few rows, made in milliseconds: what is published of a ledger does not depend on its models."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb

BUILT = datetime(2026, 9, 1, 6, 0, tzinfo=UTC)


def small_ledger(path: Path, amounts: list[str], *, holder: str = "Ada Sample", built: datetime = BUILT) -> Path:
    """Writes a ledger of one owner with these amounts, in place of the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(path) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create table about (run_id varchar, published_at timestamptz)")
        connection.execute("insert into about values (?, ?)", [f"r-{built:%Y%m%d}", built])
        connection.execute("create table owners (owner_id varchar, display_name varchar)")
        connection.execute("insert into owners values ('o-1', ?)", [holder])
        connection.execute(
            "create table transactions (transaction_id varchar, counterparty varchar, amount decimal(18, 2), labels varchar[],"
            " booked_at timestamptz)"
        )
        connection.execute(
            "insert into transactions select 't-' || number, $1, $2[number], ['a', $1], $3 from range(1, len($2) + 1) t(number)",
            [holder, amounts, built],
        )
        connection.execute("create table holes (account_id varchar, day date)")
    return path
