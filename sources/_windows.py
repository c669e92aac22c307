"""Windows: which known rows one load may retire.

The windows of the accounts that were read in full stand in `read_windows`, and transactions whose known version lies before their
window in `moved_rows`: two small tables beside the data, rewritten before each load, so that dlt's schema never changes.
"""

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
    """SQL for the rows of `{table}` that a load may retire."""
    owner = "account_id" if "account_id" in schema.names else "consent_id"
    inside = f"w.table_name = '{name}' AND w.scope_id = {{table}}.{owner}"
    if "window_on" in schema.names:
        inside += " AND (w.since IS NULL OR {table}.window_on IS NULL OR {table}.window_on >= w.since)"
    inside_a_window = f"EXISTS (SELECT 1 FROM {dataset}.{READ_WINDOWS} AS w WHERE {inside})"
    if "transaction_id" in schema.names:
        inside_a_window += f" OR {{table}}.transaction_id IN (SELECT transaction_id FROM {dataset}.{MOVED_ROWS})"
    return f"({inside_a_window})"
