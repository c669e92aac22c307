-- One row per version of a transaction, across both banks and imported files, as the ledger shows it.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, amount, currency, transaction_on, first_seen_at, labels)

with

kontist     as (select * from staging.stg_kontist__transactions),
kontomatik  as (select * from staging.stg_kontomatik__transactions),
files       as (select * from staging.stg_file__transactions),
not_counted as (select transaction_id from intermediate.int_file_entries where status <> 'counted'),
minor_units as (select * from intermediate.int_minor_units),
repeated    as (select * from intermediate.int_repeated_versions),

-- The bank gives the amount abroad in the smallest unit of its currency and without a sign
kontist_originals as (
    select
        kontist.*,
        case when minor_units.currency is null then 0.010 else minor_units.worth end as worth,
        case when amount < 0 then -1 else 1 end                     as sign
    from kontist
    left join minor_units on minor_units.currency = kontist.original_currency
),

every_source as (
    select
        transaction_id,
        account_id,
        'kontist'                                                   as source,
        source_transaction_id,
        status,
        transaction_on,
        case when status = 'booked' then transaction_on end         as booked_on,
        value_on,
        case when status = 'booked' then booked_at end              as booked_at,
        amount,
        currency,
        case
            when original_currency is not null
                then cast(abs(original_amount_minor) * sign * worth as decimal(18, 3))
        end                                                         as original_amount,
        original_currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        transaction_type,
        category,
        cast([] as varchar[])                                       as labels,
        cast(null as decimal(18, 2))                                as balance_after,
        import_id,
        valid_from,
        valid_to
    from kontist_originals
    union all
    select
        transaction_id,
        account_id,
        'kontomatik'                                                as source,
        cast(null as varchar)                                       as source_transaction_id,
        status,
        transaction_on,
        case when status = 'booked' then booked_on end              as booked_on,
        cast(null as date)                                          as value_on,
        cast(null as timestamptz)                                   as booked_at,
        amount,
        currency,
        cast(null as decimal(18, 3))                                as original_amount,
        cast(null as varchar)                                       as original_currency,
        counterparty_name,
        counterparty_iban,
        description,
        cast(null as varchar)                                       as end_to_end_id,
        transaction_type,
        cast(null as varchar)                                       as category,
        list_sort(coalesce(labels, []))                             as labels,
        balance_after,
        import_id,
        valid_from,
        valid_to
    from kontomatik
    union all
    -- what the bank shows itself, or shows a day without, is in `file_entries` only
    select
        transaction_id,
        account_id,
        'file'                                                      as source,
        reference                                                   as source_transaction_id,
        'booked'                                                    as status,
        booked_on                                                   as transaction_on,
        booked_on,
        value_on,
        cast(null as timestamptz)                                   as booked_at,
        amount,
        currency,
        cast(null as decimal(18, 3))                                as original_amount,
        cast(null as varchar)                                       as original_currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        transaction_type,
        cast(null as varchar)                                       as category,
        cast([] as varchar[])                                       as labels,
        cast(null as decimal(18, 2))                                as balance_after,
        import_id,
        valid_from,
        valid_to
    from files
    anti join not_counted using (transaction_id)
),

final as (
    select
        every_source.*,
        coalesce(repeated.first_seen_at, every_source.valid_from)     as first_seen_at,
        every_source.valid_from                                       as last_changed_at,
        repeated.previous_valid_to,
        repeated.next_valid_from
    from every_source
    left join repeated using (transaction_id, valid_from)
)

select * from final
