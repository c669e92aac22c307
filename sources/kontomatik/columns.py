"""What is kept of Kontomatik: the fields of an import's result in either dialect, one raw table each.

Not kept: birth dates and places, citizenships and kinds of document. National ids and document numbers of owners are kept as a
keyed hash only (`person_key`, `document_key`): enough to recognise a person again, worth nothing without the vault. The vault
itself keeps national ids, encrypted, where the settings ask for it.
"""

from sources._columns import (
    CONSENTS,
    DAY,
    IMPORTS,
    INSTANT,
    MONEY,
    QUARANTINE,
    READ_DAYS,
    TEXT,
    TRUTH,
    WHOLE,
    identified,
    required,
    table,
    versioned,
)

OWNERS = versioned(
    required("consent_id"),
    required("position", WHOLE),
    ("name", TEXT),
    ("kind", TEXT),
    ("external_id", TEXT),
    ("email", TEXT),
    ("phone", TEXT),
    ("address", TEXT),
    ("person_key", TEXT),
    ("document_key", TEXT),
    ("extra", TEXT),
)

ACCOUNTS = versioned(
    required("account_id"),
    required("source_account_id"),
    required("consent_id"),
    required("institution"),
    ("target", TEXT),
    required("account_type"),
    ("iban", TEXT),
    ("number", TEXT),
    ("name", TEXT),
    ("friendly_name", TEXT),
    ("currency", TEXT),
    ("balance", MONEY),
    ("available_balance", MONEY),
    ("active_since_at_least", DAY),
    ("credit_limit", MONEY),
    ("interest", TEXT),
    ("due_on", DAY),
    ("owner_name", TEXT),
    ("extra", TEXT),
)
"""An account or a card (`account_type`: `account`, `card`). Cards are listed beside accounts by the live service; the
published specification knows none."""

TRANSACTIONS = identified(
    ("transaction_on", DAY),
    ("booked_on", DAY),
    required("amount", MONEY),
    required("currency"),
    ("balance_after", MONEY),
    ("title", TEXT),
    ("party", TEXT),
    ("party_iban", TEXT),
    ("kind", TEXT),
    ("status", TEXT),
    ("labels", TEXT),
    ("variable_symbol", TEXT),
    ("constant_symbol", TEXT),
    ("extra", TEXT),
)
"""`labels` is a JSON list, sorted: the bank's order changes between two readings of one import (observed)."""

UNVERSIONED = frozenset({"extra"})
"""Columns of a transaction that are kept as first seen: a field that nobody has described may change with every answer."""

HOLES = table(
    required("account_id"),
    required("from_on", DAY),
    required("to_on", DAY),
    required("noticed_at", INSTANT),
    required("import_id"),
)
"""Days that were never read and that a reused consent can no longer show: more than 90 days lay between two good imports."""

INSTITUTIONS = table(
    required("target"),
    required("institution"),
    required("name"),
    required("country"),
    ("access_modes", TEXT),
    required("beta", TRUTH),
    required("read_at", INSTANT),
)
"""Kontomatik's catalog. `institution` is the bank and stable, `target` the way in and volatile (observed); `access_modes` is a
sorted JSON list, null where the catalog does not say."""

TABLES = {
    "owners": OWNERS,
    "accounts": ACCOUNTS,
    "transactions": TRANSACTIONS,
    "consents": CONSENTS,
    "holes": HOLES,
    "institutions": INSTITUTIONS,
    "quarantine": QUARANTINE,
    "imports": IMPORTS,
    "read_days": READ_DAYS,
}
