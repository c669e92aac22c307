"""The shape of a bank's accounts and transactions in raw history, and what tells them apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sources._columns import read_by_source


@dataclass(frozen=True, kw_only=True)
class AccountShape:
    """How one bank's table `accounts` says what every bank's accounts have. A text is SQL on that table."""

    numbers: tuple[str, ...]
    """Columns with the number that people know an account by: the first that is filled counts."""
    institution: str
    currency: str = "currency"
    account_type: str = "account_type"
    """For people; what the bank itself says is in its column `account_type`."""
    consent_id: str = "null"

    @property
    def number(self) -> str:
        """Returns SQL for the number; null where the bank gives none."""
        return f"coalesce({', '.join(self.numbers)})"

    def number_of(self, account: Mapping[str, Any]) -> str:
        """Returns the number of a row that is not loaded yet; empty where the bank gives none."""
        return next((str(account[name]) for name in self.numbers if account.get(name)), "")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How one bank's transactions are distinguished."""

    dataset: str
    schema: pa.Schema
    key: str
    """SQL that names a row among those of its account and never changes for it."""
    booked: str
    """SQL that is true for a booked row, and false for one that is pending or moves no money."""
    pending: str
    """SQL that is true for a pending row, and false for any other."""
    shifting: frozenset[str]
    """Columns that change when another row does: part of a version, but no news about this row."""
    unversioned: frozenset[str] = frozenset()
    """Columns that are kept as first seen."""
    later: frozenset[str] = frozenset()
    """Columns that were added after the first versions: an empty one is no part of a version."""
    booked_on: str = "window_on"
    """SQL for the day that a booked row counts on."""
    told_apart_by: str | None = None
    """Third column that identifies a late row at a bank without ids (with `window_on` and amount)."""
    about: str = "null"
    """SQL for the words that say what a row is for; they change, but seldom together with amount and day."""

    @property
    def table(self) -> str:
        """Returns the raw table's full name."""
        return f"{self.dataset}.transactions"

    @property
    def amount(self) -> str:
        """Returns the column of the signed amount."""
        return "amount" if "amount" in self.schema.names else "amount_cents"

    @property
    def money(self) -> str:
        """Returns SQL for the signed amount in whole units, exact."""
        return "amount" if "amount" in self.schema.names else "amount_cents * 0.01"

    @property
    def has_ids(self) -> bool:
        """Returns whether the bank names its rows itself."""
        return self.told_apart_by is None

    @property
    def weighed(self) -> str:
        """Returns SQL for amount, currency and words of a row, as the guard compares them."""
        currency = "currency" if "currency" in self.schema.names else "cast(null as varchar)"
        return f"{self.money} as amount, {currency} as currency, {self.about} as about"

    def version(self, *, without: frozenset[str] = frozenset()) -> str:
        """Returns SQL for the hash of what the bank said of a row. Texts are joined in one fixed form, for any DuckDB."""
        left_out = without | self.unversioned | {"account_id", "import_id", "row_version"}
        # Null is skipped: an empty later column leaves the hash as it was before there was such a column.
        parts = [
            f"'{column.name}=' || {column.name}" if column.name in self.later else _as_text(column)
            for column in self.schema
            if column.name not in left_out
        ]
        return f"md5(concat_ws(chr(31), {', '.join(parts)}))"

    @property
    def counted(self) -> str:
        """Returns the columns that rows are counted and distinguished by: all that a window over many rows has to carry."""
        named = ", source_transaction_id" if self.has_ids else ""
        return f"position, window_on, {self.amount}, booked{named}"

    @property
    def _shown(self) -> list[str]:
        """Returns the columns of `answered` that are kept: those that the bank shows, and what is said of them there."""
        return ["account_id", "booked", "position", *read_by_source(self.schema).names]

    def identified(self, answered: str, numbered: str) -> str:
        """Returns SQL for the rows of `answered` that `numbered` names by their position, with identity, version and content.

        `answered` has at least the columns of the schema that a bank shows; `numbered` has the `counted` columns, `late`,
        `occurrence` and `position_in_day`. Of equal ids the first shown stays.
        """
        return f"""
            select
                {", ".join(self._shown)},
                late,
                occurrence,
                position_in_day,
                transaction_id,
                $import as import_id,
                {self.version()} as row_version,
                {self.version(without=self.shifting)} as content
            from {answered} as shown_rows
            join (
                select
                    position, late, occurrence, position_in_day,
                    $account || ':' || {self.key} as transaction_id
                from {numbered}
                qualify row_number() over (partition by transaction_id order by position) = 1
            ) using (position)
        """


def _as_text(column: pa.Field) -> str:
    shown = f"epoch_us({column.name})" if pa.types.is_timestamp(column.type) else column.name
    return f"coalesce(cast({shown} as varchar), chr(0))"
