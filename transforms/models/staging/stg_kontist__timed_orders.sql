-- Every version of every Kontist timed order and transfer under way, in the ledger's names and units.
-- grain:  account_id, order_id, valid_from
-- checks: not_null(amount)

select
    -- keys
    order_id,
    account_id,
    -- what is to be paid: the bank shows a negative amount, GraphQL a positive one, and it is money out
    status,
    type                                                            as order_type,
    coalesce(type in ('SEPA_TRANSFER', 'INSTANT_CREDIT_TRANSFER'), false) as is_transfer,
    cast(-abs(amount_cents) * 0.01 as decimal(18, 2))               as amount,
    'EUR'                                                           as currency,
    nullif(trim(recipient_name), '')                                as counterparty_name,
    nullif(trim(recipient_iban), '')                                as counterparty_iban,
    nullif(trim(purpose), '')                                       as description,
    case when upper(replace(e2e_id, ' ', '')) not in ('', 'NOTPROVIDED') then trim(e2e_id) end as end_to_end_id,
    -- when: the bank means Berlin days and sends UTC instants
    cast(date at time zone 'Europe/Berlin' as date)                 as payment_on,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to,
    cast(_dlt_valid_to at time zone 'Europe/Berlin' as date)        as valid_to_on
from raw.kontist.timed_orders
