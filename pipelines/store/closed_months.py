"""Closed months in raw history: the figures of each account's month, its transactions, and its entries as exports wrote them.

They are in raw history because a ledger is made from that alone, and because an erasure removes from it whatever names an
account. The vault's trail of closings holds a fingerprint of each month (`consents/closing_trail.py`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sources._columns import DAY, INSTANT, MONEY, TEXT, TRUTH, WHOLE, required, table

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

SCHEMA = "closings"
MONTHS = table(
    required("account_id"),
    required("month", DAY),
    required("closed_at", INSTANT),
    required("closed_by"),
    required("first_day", DAY),
    required("last_day", DAY),
    ("currency", TEXT),
    required("transactions", WHOLE),
    required("money_in", MONEY),
    required("money_out", MONEY),
    ("opening_balance", MONEY),
    ("closing_balance", MONEY),
    required("transactions_sha256"),
    required("entries", WHOLE),
    required("entries_sha256"),
    ("bank_balance_on", DAY),
    ("bank_balance", MONEY),
    required("ledger_account"),
    required("days", WHOLE),
    required("seen_days", WHOLE),
    required("reconciled_days", WHOLE),
    required("complete", TRUTH),
    required("salt"),
)
"""One row per account and closed month. `salt` is random: who knows the figures does not find them by their fingerprint."""
TRANSACTIONS = table(
    required("account_id"),
    required("month", DAY),
    required("transaction_id"),
    required("booked_on", DAY),
    required("amount", MONEY),
    required("currency"),
)
"""The booked transactions of a closed month, as the bank showed them then."""
LEGS = table(
    required("account_id"),
    required("month", DAY),
    required("kind"),
    required("entry"),
    required("leg", WHOLE),
    required("booked_on", DAY),
    required("movement_on", DAY),
    required("is_correction", TRUTH),
    required("payee"),
    required("narration"),
    ("transfer_id", TEXT),
    ("decided_by", TEXT),
    ("reversal_of", TEXT),
    required("ledger_account"),
    required("is_bank", TRUTH),
    required("amount", MONEY),
    required("currency"),
)
"""The entries of a closed month, leg by leg, as exports wrote them then. `entry`: what it is about, among those of its `kind`."""
TRANSACTION_COLUMNS = ("booked_on", "transaction_id", "amount", "currency")
ENTRY_COLUMNS = ("booked_on", "kind", "entry", "leg", "ledger_account", "amount", "currency")
"""The columns that the hashes of a month cover. A change here would make every existing trail fail."""
TABLES: Mapping[str, "pa.Schema"] = {"months": MONTHS, "transactions": TRANSACTIONS, "legs": LEGS}


@dataclass(frozen=True, kw_only=True)
class ClosedMonth:
    """A closed month of an account: a row of `MONTHS`."""

    account_id: str
    month: date
    closed_at: datetime
    closed_by: str
    first_day: date
    last_day: date
    currency: str | None
    transactions: int
    money_in: Decimal
    money_out: Decimal
    opening_balance: Decimal | None
    closing_balance: Decimal | None
    transactions_sha256: str
    entries: int
    entries_sha256: str
    bank_balance_on: date | None
    bank_balance: Decimal | None
    ledger_account: str
    days: int
    seen_days: int
    reconciled_days: int
    complete: bool
    salt: str

    @property
    def name(self) -> str:
        """Returns the month as YYYY-MM."""
        return f"{self.month:%Y-%m}"

    @property
    def figures(self) -> str:
        """Returns its figures as one line of text, always the same: the trail of closings holds the SHA-256 of it."""
        known = {name: value for name, value in vars(self).items() if name not in ("closed_at", "closed_by")}
        return json.dumps(known | {"month": self.name}, sort_keys=True, ensure_ascii=False, default=str)


def transactions_sha256(transactions: Iterable[dict[str, Any]]) -> str:
    """Returns the SHA-256 of transactions in the form that docs/accounting.md describes: a line each, sorted by bytes."""
    return _sha256_of_lines(transactions, TRANSACTION_COLUMNS)


def entries_sha256(legs: Iterable[dict[str, Any]]) -> str:
    """Returns the SHA-256 of the legs of a closed month: a line each, sorted by bytes."""
    return _sha256_of_lines(legs, ENTRY_COLUMNS)


def create_tables(connection: "DuckDBPyConnection") -> None:
    """Creates the tables that raw history lacks."""
    connection.execute(f"create schema if not exists {SCHEMA}")
    for name, schema in TABLES.items():
        with _shown(connection, schema, []):
            connection.execute(f"create table if not exists {SCHEMA}.{name} as select * from given_rows")


def closed_months(connection: "DuckDBPyConnection", catalog: str | None = None) -> list[ClosedMonth]:
    """Returns every closed month of raw history, by account and month; none where the tables are not there yet."""
    import duckdb

    place = f"{catalog}.{SCHEMA}.months" if catalog else f"{SCHEMA}.months"
    names = ", ".join(MONTHS.names)
    with closing(connection.cursor()) as cursor:
        cursor.execute("set TimeZone = 'UTC'")
        try:
            found = cursor.execute(f"select {names} from {place} order by account_id, month").fetchall()
        except duckdb.CatalogException:
            return []
    return [ClosedMonth(**dict(zip(MONTHS.names, row, strict=True))) for row in found]


def keep(
    connection: "DuckDBPyConnection",
    month: ClosedMonth,
    transactions: Sequence[Mapping[str, Any]],
    legs: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a closed month, with the rows of `TRANSACTIONS` and of `LEGS` that belong to it."""
    of_month = {"account_id": month.account_id, "month": month.month}
    for name, rows in (("months", [vars(month)]), ("transactions", transactions), ("legs", legs)):
        with _shown(connection, TABLES[name], [{**row, **of_month} for row in rows]):
            connection.execute(f"insert into {SCHEMA}.{name} by name select * from given_rows")


def remove(connection: "DuckDBPyConnection", months: Iterable[ClosedMonth]) -> None:
    """Removes closed months."""
    for one in months:
        for name in TABLES:
            connection.execute(f"delete from {SCHEMA}.{name} where account_id = ? and month = ?", [one.account_id, one.month])


@contextmanager
def _shown(connection: "DuckDBPyConnection", schema: "pa.Schema", rows: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    import pyarrow as pa

    connection.register("given_rows", pa.Table.from_pylist([dict(row) for row in rows], schema=schema))
    try:
        yield
    finally:
        connection.unregister("given_rows")


def _sha256_of_lines(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> str:
    lines = (";".join(str(one[name]) for name in columns) + "\n" for one in rows)
    return sha256("".join(sorted(lines, key=str.encode)).encode()).hexdigest()
