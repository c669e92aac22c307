-- Every reference rate that was loaded: units of a currency for one euro on one day.
-- grain:  currency, day
-- checks: not_null(rate)

select
    -- keys
    upper(currency)                                                 as currency,
    day,
    -- units of the currency for one euro, as published
    rate,
    publisher
from raw.rates.reference_rates
