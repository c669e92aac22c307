-- Every version of every Kontist standing order, in the ledger's names and units.
-- grain:  account_id, order_id, valid_from
-- checks: not_null(amount)

select
    -- keys
    order_id,
    account_id,
    -- what is to be paid: the bank shows a positive amount, and it is money out
    status,
    cast(-abs(amount_cents) * 0.01 as decimal(18, 2))               as amount,
    'EUR'                                                           as currency,
    nullif(trim(name), '')                                          as counterparty_name,
    nullif(trim(iban), '')                                          as counterparty_iban,
    nullif(trim(description), '')                                   as description,
    case when upper(replace(e2e_id, ' ', '')) not in ('', 'NOTPROVIDED') then trim(e2e_id) end as end_to_end_id,
    -- when: the bank means Berlin days and sends UTC instants
    reoccurrence,
    cast(next_occurrence at time zone 'Europe/Berlin' as date)      as next_payment_on,
    cast(last_execution_date at time zone 'Europe/Berlin' as date)  as last_payment_on,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to,
    cast(_dlt_valid_to at time zone 'Europe/Berlin' as date)        as valid_to_on
from raw.kontist.standing_orders
