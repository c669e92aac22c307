"""What is kept of reference rates: one row a currency and day, as it was published."""

from sources._columns import DAY, RATE, required, table

REFERENCE_RATES = table(
    required("currency"),
    required("day", DAY),
    required("rate", RATE),
    required("publisher"),
)
"""`rate`: units of `currency` for one euro. Exact, six decimals."""

TABLES = {"reference_rates": REFERENCE_RATES}
