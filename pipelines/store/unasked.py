"""Keeps what is known where a bank was not asked: a column that it has refused is no news, and makes no new version of a row."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.store.sql import literal, rows_of
from sources.kontist.values import json_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.store.shape import Shape
    from sources.kontist.unasked import Unasked


def completed(shape: "Shape", shown: str, account: str, unasked: "Unasked") -> str:
    """Returns SQL for the rows of `shown`, a query, with the known values of the columns that were not asked for.

    `account` is SQL for the account's id. A column that was asked for in part keeps the known text if that says the same of the
    other parts; else it gets what the bank says now. For a bank that names its rows itself.
    """
    if not unasked:
        return shown
    filled = ", ".join(f"{_value(column, unasked[column])} as {column}" for column in sorted(unasked))
    return (
        f"select shown.* replace ({filled}) from ({shown}) as shown"
        f" left join (select {shape.key} as known_key, {', '.join(sorted(unasked))} from {shape.table}"
        f" where account_id = {account} and _dlt_valid_to is null) as known on known_key = shown.{shape.key}"
    )


def _value(column: str, names: frozenset[str]) -> str:
    if not names:
        return f"coalesce(shown.{column}, known.{column})"
    without = literal(json.dumps(dict.fromkeys(sorted(names))))  # RFC 7396: null takes a name away
    same = [
        f"list_sort([cast(json_merge_patch(one, {without}) as varchar) for one in cast({of}.{column} as json[])])"
        for of in ("shown", "known")
    ]
    return f"if({' = '.join(same)}, known.{column}, shown.{column})"


def with_known_values(
    connection: "DuckDBPyConnection", table: str, rows: list[dict[str, Any]], unasked: "Unasked"
) -> list[dict[str, Any]]:
    """Returns rows of a small table of one account with the known values of the columns that were not asked for."""
    if not unasked or not rows:
        return rows
    query = f"select * from {table} where account_id = ? and _dlt_valid_to is null"
    known = {_key(one): one for one in rows_of(connection, query, [rows[0]["account_id"]])}
    return [_with_known(row, known.get(_key(row), {}), unasked) for row in rows]


def _key(row: Mapping[str, Any]) -> Any:
    return row.get("order_id", row["account_id"])


def _with_known(row: dict[str, Any], known: Mapping[str, Any], unasked: "Unasked") -> dict[str, Any]:
    kept = dict(row)
    for column, names in unasked.items():
        if names:
            before = {name: value for name, value in json.loads(known.get(column) or "{}").items() if name in names}
            merged = before | json.loads(row.get(column) or "{}")
            kept[column] = json_text(merged) if merged else None
        elif row.get(column) is None and known.get(column) is not None:
            value = known[column]
            kept[column] = value.astimezone(UTC) if isinstance(value, datetime) else value  # as its version was computed
    return kept
