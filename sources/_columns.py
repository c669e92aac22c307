"""The few column types that raw history is made of, and their hints for dlt.

Every table is declared in full (`kontist/columns.py`, `kontomatik/columns.py`), because dlt makes no column that never
had a value and no table that never had a row. Money is a whole number of minor units or an exact decimal, never a float.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

TEXT = pa.string()
DAY = pa.date32()
INSTANT = pa.timestamp("us", tz="UTC")
WHOLE = pa.int64()
TRUTH = pa.bool_()
MONEY = pa.decimal128(18, 2)
RATE = pa.decimal128(18, 6)


def required(name: str, kind: pa.DataType = TEXT) -> pa.Field:
    """Returns a column that is never null. dlt warns at every run when a key may be."""
    return pa.field(name, kind, nullable=False)


def table(*fields: pa.Field | tuple[str, pa.DataType]) -> pa.Schema:
    """Returns a table's columns in order; a bare `(name, type)` may be null."""
    return pa.schema([field if isinstance(field, pa.Field) else pa.field(*field) for field in fields])


def versioned(*fields: pa.Field | tuple[str, pa.DataType]) -> pa.Schema:
    """Returns a table whose every version is kept: dlt's scd2 needs the hash of what the bank said, and an accountant asks
    which import (`IMPORTS`) brought a version first."""
    return table(*fields, required("import_id"), required("row_version"))


# What the bank sent is completed with these before it is loaded (`pipelines/changes/diff.py`): whose row it is, its identity,
# the day its window counts it on, and the hash of its content.
def identified(*fields: pa.Field | tuple[str, pa.DataType]) -> pa.Schema:
    """Returns a transactions table: the bank's columns between the identity that we give a row and the hash of its content."""
    return versioned(
        required("account_id"),
        required("transaction_id"),
        required("window_on", DAY),
        required("occurrence", WHOLE),
        required("position_in_day", WHOLE),
        *fields,
    )


COMPUTED = frozenset({"account_id", "transaction_id", "occurrence", "position_in_day", "import_id", "row_version"})


def read_by_source(schema: pa.Schema) -> pa.Schema:
    """Returns the columns that a source itself delivers: what the bank said and, for transactions, the day of the window."""
    return pa.schema([field for field in schema if field.name not in COMPUTED])


IMPORTS = table(
    required("import_id"),
    required("run_id"),
    ("account_id", TEXT),
    ("consent_id", TEXT),
    required("started_at", INSTANT),
    ("finished_at", INSTANT),
    required("status"),
    ("depth", TEXT),
    ("window_start", DAY),
    ("window_end", DAY),
    ("rows", WHOLE),
    ("new_rows", WHOLE),
    ("changed_rows", WHOLE),
    ("removed_rows", WHOLE),
    ("requests", WHOLE),
    ("reason", TEXT),
    ("as_of", INSTANT),
)
"""One attempt to read one account; `account_id` is null when not even the list of accounts could be read. `as_of`: the moment of
the bank's answer where an earlier run asked for it, else null.
`status`: `complete`, `partial` (the bank cut its answer), `failed`, `skipped` (a quota), `doubted` (removals or changes are held
for confirmation; what is new is loaded)."""

CONSENTS = table(
    required("consent_id"),
    required("institution"),
    ("target", TEXT),
    required("access_mode"),
    required("status"),
    required("created_at", INSTANT),
    ("expires_at", INSTANT),
    required("read_at", INSTANT),
)
"""What the registry knows of a bank's consents or logins; rewritten at every run. No token, ever."""

READ_DAYS = table(
    required("account_id"),
    required("day", DAY),
    required("rows", WHOLE),
    ("amount", MONEY),
    required("import_id"),
)
"""What each day of an account holds by what its reads showed: number and sum of the booked rows, computed before they were
loaded, so that a row that is lost, doubled or changed in the file afterwards contradicts it. Rewritten for an account that
changes."""

QUARANTINE = versioned(
    required("quarantine_id"),
    required("account_id"),
    ("window_on", DAY),
    required("reason"),
    required("payload"),
)
"""One row that could not be understood; `payload` names its fields and keeps only values that identify no person."""


def dlt_columns(schema: pa.Schema) -> dict[str, Any]:
    """Returns `schema` in dlt's words, so that a table exists whole before its first row."""
    return {field.name: {"name": field.name, "nullable": field.nullable, **_dlt_type(field.type)} for field in schema}


def _dlt_type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_decimal(kind):
        return {"data_type": "decimal", "precision": kind.precision, "scale": kind.scale}
    names: Iterable[tuple[pa.DataType, str]] = (
        (TEXT, "text"),
        (DAY, "date"),
        (INSTANT, "timestamp"),
        (WHOLE, "bigint"),
        (TRUTH, "bool"),
    )
    return {"data_type": next(name for one, name in names if one == kind)}
