"""Reference rates in the European Central Bank's CSV formats, from a file or an https address.

| what it publishes | looks like |
|---|---|
| `eurofxref.csv`, `eurofxref-hist.csv` (or `.zip`) | a line a day, a column a currency: `Date,USD,JPY,...`; `N/A` where none |
| the data portal's CSV | a line an observation: `CURRENCY`, `CURRENCY_DENOM`, `TIME_PERIOD`, `OBS_VALUE` |

A rate is units of the currency for one euro. What is loaded is merged by currency and day: a day that comes again takes the place
of the one before, and nothing else is touched. Rates are never interpolated, inverted or made up here.
"""
