-- Every booked entry of every imported file; `valid_to` is when the file was taken back.
-- grain:  file_id, transaction_id
-- checks: not_null(account_id, place, booked_on, amount, currency)

select
    -- keys
    file_id,
    transaction_id,
    account_id,
    import_id,
    place,
    -- what it is
    window_on                                                       as booked_on,
    amount,
    currency,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.file.transactions
