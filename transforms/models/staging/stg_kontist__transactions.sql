-- Every version of every Kontist transaction, in the ledger's names and units.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, amount, transaction_on), accepted(status, 'booked', 'pending', 'memo'),
--         accepted(memo_reason, 'customer', 'staff', 'event')

select
    -- keys
    transaction_id,
    account_id,
    source_transaction_id,
    import_id,
    -- what is no movement at the bank is a memo; the bank gives a value day and a booking type as soon as a movement is booked
    case
        when memo is not null then 'memo'
        when valuta_date is null and booking_type is null then 'pending'
        else 'booked'
    end                                                             as status,
    memo                                                            as memo_reason,
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
    nullif(trim(recurly_invoice_number), '')                        as recurly_invoice_number,
    nullif(trim(category_code), '')                                 as category_code,
    nullif(trim(categorization_type), '')                           as categorization_type,
    nullif(trim(vat_category_code), '')                             as vat_category_code,
    nullif(trim(vat_rate), '')                                      as vat_rate,
    nullif(trim(merchant_category_code), '')                        as merchant_category_code,
    nullif(upper(trim(merchant_country_code)), '')                  as merchant_country,
    nullif(trim(personal_note), '')                                 as personal_note,
    nullif(trim(description), '')                                as bank_description,
    fees,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontist.transactions
