"""Columns of imported files: statements with balances, and every booked entry of each."""

from sources._columns import DAY, IMPORTS, INSTANT, MONEY, TEXT, TRUTH, WHOLE, identified, required, table, versioned

ACCOUNTS = versioned(
    required("account_id"),
    required("source_account_id"),
    required("account_type"),
    ("iban", TEXT),
    required("institution"),
    ("name", TEXT),
    required("currency"),
    ("same_as", TEXT),
)
"""An account that no bank shows: only files know it. `same_as` is the account that its files were moved to, if its closed
months stay on record. An erasure of that account removes this one, too."""

TRANSACTIONS = identified(
    required("file_id"),
    required("place"),
    ("value_on", DAY),
    required("amount", MONEY),
    required("currency"),
    ("counterparty_name", TEXT),
    ("counterparty_iban", TEXT),
    ("description", TEXT),
    ("end_to_end_id", TEXT),
    ("mandate_number", TEXT),
    ("transaction_type", TEXT),
    ("reference", TEXT),
    required("is_reversal", TRUTH),
)
"""One booked entry of one file. `window_on` is its booking day. An entry that several files hold has one `transaction_id` and a
row of each file. `place` names statement and entry, or the line. A row is retired when its file is taken back."""

STATEMENTS = table(
    required("file_id"),
    required("account_id"),
    required("place"),
    ("reference", TEXT),
    required("first_on", DAY),
    required("last_on", DAY),
    ("opening_balance", MONEY),
    ("closing_balance", MONEY),
    required("currency"),
    required("entries", WHOLE),
)
"""Whole days of an account, from `first_on` to `last_on`. Balances are those at the end of the day before and at the end of the
last day; null in a CSV file."""

FILES = table(
    required("file_id"),
    required("account_id"),
    required("name"),
    required("sha256"),
    required("format"),
    required("bytes", WHOLE),
    required("entries", WHOLE),
    required("money_in", MONEY),
    required("money_out", MONEY),
    required("imported_at", INSTANT),
    ("undone_at", INSTANT),
)

TABLES = {
    "accounts": ACCOUNTS,
    "transactions": TRANSACTIONS,
    "statements": STATEMENTS,
    "files": FILES,
    "imports": IMPORTS,
}
"""`imports` has a row for each stretch of days without a gap that a file covers."""
