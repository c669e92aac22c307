-- Every split of every version of a Kontist transaction: a part to which the customer gave a category of its own.
-- grain:  transaction_id, valid_from, split
-- checks: not_null(account_id)

with

listed as (
    select
        *,
        json_extract(splits, '$[*]')                                as parts
    from raw.kontist.transactions
    where splits is not null and json_valid(splits)
),

numbered as (
    select
        transaction_id,
        account_id,
        unnest(range(1, len(parts) + 1))                            as split,
        unnest(parts)                                               as part,
        _dlt_valid_from                                             as valid_from,
        _dlt_valid_to                                               as valid_to
    from listed
)

select
    -- keys
    transaction_id,
    account_id,
    split,
    part ->> '$.uuid'                                               as source_split_id,
    -- money: cents to euros without leaving DECIMAL; what is no whole number of cents is no amount
    case
        when json_type(part, '$.amount') in ('BIGINT', 'UBIGINT') and len(ltrim(part ->> '$.amount', '-')) < 16
            then cast(cast(part ->> '$.amount' as bigint) * 0.01 as decimal(18, 2))
    end                                                             as amount,
    'EUR'                                                           as currency,
    -- words of the bank
    nullif(trim(part ->> '$.category'), '')                         as category,
    nullif(trim(part ->> '$.categoryCode'), '')                     as category_code,
    nullif(trim(part ->> '$.vatCategoryCode'), '')                  as vat_category_code,
    nullif(trim(part ->> '$.vatRate'), '')                          as vat_rate,
    -- days: the bank means Berlin days and sends UTC instants
    cast(
        try_strptime(part ->> '$.userSelectedBookingDate', ['%Y-%m-%dT%H:%M:%S.%gZ', '%Y-%m-%dT%H:%M:%SZ'])
        at time zone 'UTC' at time zone 'Europe/Berlin' as date
    )                                                               as user_selected_booking_on,
    -- validity
    valid_from,
    valid_to
from numbered
