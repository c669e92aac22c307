-- Every booked transaction of a closed month, as the bank showed it when the month was closed.
-- grain:  account_id, month, transaction_id
-- checks: not_null(booked_on, amount, currency)

select
    -- keys
    account_id,
    month,
    transaction_id,
    -- as it was then
    booked_on,
    amount,
    currency
from raw.closings.transactions
