"""Limits a merge: which known rows one load may retire.

The windows of the accounts that were read in full stand in `read_windows`, and transactions whose known version lies before their
window in `moved_rows`: two small tables beside the data, rewritten before each load, so that dlt's schema never changes.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

READ_WINDOWS = "read_windows"
MOVED_ROWS = "moved_rows"
HELPER_TABLES = f"""
create table if not exists {{dataset}}.{READ_WINDOWS} (table_name varchar, scope_id varchar, since date);
create table if not exists {{dataset}}.{MOVED_ROWS} (transaction_id varchar);
"""
"""`since` null: every row of the scope."""


def is_versioned(schema: pa.Schema) -> bool:
    """Returns whether a table keeps every version of a bank's rows. The others are our own book-keeping."""
    return "row_version" in schema.names


def scope(dataset: str, name: str, schema: pa.Schema) -> str:
    """Returns SQL for the rows of `{table}` that a load may retire."""
    owner = "account_id" if "account_id" in schema.names else "consent_id"
    inside = f"w.table_name = '{name}' AND w.scope_id = {{table}}.{owner}"
    if "window_on" in schema.names:
        inside += " AND (w.since IS NULL OR {table}.window_on IS NULL OR {table}.window_on >= w.since)"
    inside_a_window = f"EXISTS (SELECT 1 FROM {dataset}.{READ_WINDOWS} AS w WHERE {inside})"
    if "transaction_id" in schema.names:
        inside_a_window += f" OR {{table}}.transaction_id IN (SELECT transaction_id FROM {dataset}.{MOVED_ROWS})"
    return f"({inside_a_window})"


# A source that loads into any destination puts its windows beside its rows: as marker rows, which dlt stages and a filter keeps
# out of the table. So windows and rows are of one load, and dlt's schema never changes.
SINCE, UNTIL, WHOLE_ACCOUNT = "window since", "window until", "window of everything"
STAGED = f"row_version NOT IN ('{SINCE}', '{UNTIL}', '{WHOLE_ACCOUNT}')"
FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)


def staged_scope(schema: pa.Schema) -> str:
    """Returns SQL for the rows of `{table}` that a load may retire, by the marker rows in `{staging_table}`.

    Of transactions: those inside a window, and those whose id is shown with another content, wherever their day was before.
    Of a consent's lists: those of the consent, and of the accounts that it lists.
    """
    if "window_on" in schema.names:
        # The earliest and the last day of all windows are looked up once, and leave few rows to compare with their account's own:
        # else PostgreSQL searches the staging table for each row of the destination (50,000 rows: 34 s, so 2.5 s).
        inside = (
            f"({{table}}.window_on >= (SELECT min(window_on) FROM {{staging_table}} WHERE row_version = '{SINCE}')"
            f" AND {{table}}.window_on < (SELECT max(window_on) FROM {{staging_table}} WHERE row_version = '{UNTIL}')"
            f" AND EXISTS (SELECT 1 FROM {{staging_table}} AS first_day WHERE first_day.row_version = '{SINCE}'"
            " AND first_day.account_id = {table}.account_id AND {table}.window_on >= first_day.window_on)"
            f" AND EXISTS (SELECT 1 FROM {{staging_table}} AS last_day WHERE last_day.row_version = '{UNTIL}'"
            " AND last_day.account_id = {table}.account_id AND {table}.window_on < last_day.window_on))"
        )
        of_account = f"{{table}}.account_id IN (SELECT account_id FROM {{staging_table}} WHERE row_version = '{WHOLE_ACCOUNT}')"
        return f"({of_account} OR {inside} OR {{table}}.transaction_id IN (SELECT transaction_id FROM {{staging_table}}))"
    of_consent = f"{{table}}.consent_id IN (SELECT consent_id FROM {{staging_table}} WHERE row_version = '{SINCE}')"
    if "account_id" in schema.names:
        return f"({of_consent} OR {{table}}.account_id IN (SELECT account_id FROM {{staging_table}} WHERE {STAGED}))"
    return of_consent


def marker(schema: pa.Schema, version: str, **values: object) -> pa.RecordBatch:
    """Returns one marker row: the given values, and of each other column that is never null some value of its type."""
    neutral = {field.name: _neutral(field.type) for field in schema if not field.nullable}
    return pa.RecordBatch.from_pylist([neutral | {"row_version": version} | values], schema=schema)


def _neutral(kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_date(kind):
        return date(1970, 1, 1)
    if pa.types.is_timestamp(kind):
        return datetime(1970, 1, 1, tzinfo=UTC)
    return False if pa.types.is_boolean(kind) else Decimal(0) if pa.types.is_decimal(kind) else 0
