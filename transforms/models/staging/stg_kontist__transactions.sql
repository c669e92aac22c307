-- Every version of every Kontist transaction, in the ledger's names and units.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, amount, transaction_on), accepted(status, 'booked', 'pending')

select
    -- keys
    transaction_id,
    account_id,
    source_transaction_id,
    import_id,
    -- the bank gives a value day and a booking type as soon as a movement is booked
    case when valuta_date is null and booking_type is null then 'pending' else 'booked' end as status,
    -- days: the bank means Berlin days and sends UTC instants
    cast(booking_date at time zone 'Europe/Berlin' as date)         as transaction_on,
    cast(valuta_date at time zone 'Europe/Berlin' as date)          as value_on,
    booking_date                                                    as booked_at,
    -- money: cents to euros without leaving DECIMAL
    cast(amount_cents * 0.01 as decimal(18, 2))                     as amount,
    'EUR'                                                           as currency,
    original_amount_minor,
    nullif(upper(trim(foreign_currency)), '')                       as original_currency,
    -- texts: a bank that has nothing to say may say nothing, or blanks
    nullif(trim(name), '')                                          as counterparty_name,
    nullif(trim(iban), '')                                          as counterparty_iban,
    nullif(trim(purpose), '')                                       as description,
    case when upper(replace(e2e_id, ' ', '')) not in ('', 'NOTPROVIDED') then trim(e2e_id) end as end_to_end_id,
    nullif(trim(booking_type), '')                                  as transaction_type,
    nullif(trim(category), '')                                      as category,
    nullif(trim(payment_method), '')                                as payment_method,
    nullif(trim(invoice_number), '')                                as invoice_number,
    nullif(trim(document_type), '')                                 as document_type,
    nullif(trim(mandate_number), '')                                as mandate_number,
    cast(user_selected_booking_date at time zone 'Europe/Berlin' as date) as user_selected_booking_on,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontist.transactions
