-- Every statement of an imported file: whole days of an account, with the balances around them.
-- grain:  file_id, place
-- checks: not_null(account_id, first_on, last_on, currency)

select
    -- keys
    file_id,
    account_id,
    place,
    nullif(trim(reference), '')                                     as reference,
    -- which days
    first_on,
    last_on,
    -- money
    opening_balance,
    closing_balance,
    currency,
    entries
from raw.file.statements
