"""What is kept of Kontist: the fields of its list endpoints (vendor document), one raw table each.

Not kept: `invoicePreviewUrl` and `invoiceDownloadUrl`, which are signed links that change at every read and open
documents to whoever holds them; `from`, `to` and `pending_from`, which only decide the sign of old answers.
"""

from sources._columns import CONSENTS, IMPORTS, INSTANT, QUARANTINE, READ_DAYS, TEXT, WHOLE, identified, required, versioned

ACCOUNTS = versioned(
    required("account_id"),
    required("source_account_id"),
    ("iban", TEXT),
    ("balance_cents", WHOLE),
    ("account_type", TEXT),
    ("extra", TEXT),
    ("available_balance_cents", WHOLE),
    ("bic", TEXT),
    ("name", TEXT),
)

LATER_OF_ACCOUNTS = ("available_balance_cents", "bic", "name")
"""Columns of an account that the first raw histories did not have. They come from the live service alone, null in REST."""

TRANSACTIONS = identified(
    required("source_transaction_id"),
    required("amount_cents", WHOLE),
    ("type", TEXT),
    ("category", TEXT),
    ("name", TEXT),
    ("iban", TEXT),
    ("purpose", TEXT),
    ("e2e_id", TEXT),
    required("booking_date", INSTANT),
    ("valuta_date", INSTANT),
    ("booking_type", TEXT),
    ("original_amount_minor", WHOLE),
    ("foreign_currency", TEXT),
    ("payment_method", TEXT),
    ("invoice_number", TEXT),
    ("user_selected_booking_date", INSTANT),
    ("document_type", TEXT),
    ("mandate_number", TEXT),
    ("extra", TEXT),
    ("memo", TEXT),
    ("category_code", TEXT),
    ("categorization_type", TEXT),
    ("vat_category_code", TEXT),
    ("vat_rate", TEXT),
    ("personal_note", TEXT),
    ("description", TEXT),
    ("merchant_category_code", TEXT),
    ("merchant_country_code", TEXT),
    ("recurly_invoice_number", TEXT),
    ("fees", TEXT),
    ("splits", TEXT),
)
"""What follows `extra` comes from the live service alone, and is null in REST. `memo` says why a row is no movement at the bank
(`sources/kontist/memos.py`), null for a movement. `fees` and `splits` are JSON text."""

UNVERSIONED = frozenset({"occurrence", "position_in_day", "extra"})
"""Columns of a transaction that are kept as first seen. A field that nobody has described may change with every answer."""

LATER = frozenset(TRANSACTIONS.names[TRANSACTIONS.names.index("extra") + 1 : TRANSACTIONS.names.index("import_id")])
"""Columns of a transaction that the first raw histories did not have. An empty one is no part of a version: else every known row
would get a new version with the column."""

STANDING_ORDERS = versioned(
    required("account_id"),
    required("order_id"),
    ("status", TEXT),
    ("name", TEXT),
    ("iban", TEXT),
    ("description", TEXT),
    required("amount_cents", WHOLE),
    ("e2e_id", TEXT),
    ("reoccurrence", TEXT),
    ("next_occurrence", INSTANT),
    ("last_execution_date", INSTANT),
    ("extra", TEXT),
)

TIMED_ORDERS = versioned(
    required("account_id"),
    required("order_id"),
    ("status", TEXT),
    ("type", TEXT),
    ("recipient_name", TEXT),
    ("recipient_iban", TEXT),
    ("date", INSTANT),
    ("purpose", TEXT),
    required("amount_cents", WHOLE),
    ("e2e_id", TEXT),
    ("extra", TEXT),
)

TABLES = {
    "accounts": ACCOUNTS,
    "transactions": TRANSACTIONS,
    "standing_orders": STANDING_ORDERS,
    "timed_orders": TIMED_ORDERS,
    "quarantine": QUARANTINE,
    "imports": IMPORTS,
    "read_days": READ_DAYS,
    "consents": CONSENTS,
}
