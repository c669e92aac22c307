-- Every month that is closed, by account, with the figures that were recorded when it was closed.
-- grain:  account_id, month
-- checks: not_null(closed_at, first_day, last_day, transactions, transactions_sha256, complete)

select
    -- keys
    account_id,
    month,
    -- when, by whom, of which days
    closed_at,
    closed_by,
    first_day,
    last_day,
    -- the month as the bank showed it then
    currency,
    transactions,
    money_in,
    money_out,
    opening_balance,
    closing_balance,
    transactions_sha256,
    -- the last balance of the bank in the month, and where the journal asserts it
    bank_balance_on,
    bank_balance,
    ledger_account,
    -- how it was proven then
    days,
    seen_days,
    reconciled_days,
    complete
from raw.closings.months
