-- One row per current transaction for which its bank gives more fields than `transactions` has.
-- grain:  transaction_id
-- checks: not_null(account_id, source), accepted(source, 'kontist', 'kontomatik'),
--         relationship(transaction_id, transactions), relationship(account_id, accounts)

with

kontist    as (select * from staging.stg_kontist__transactions where valid_to is null),
kontomatik as (select * from staging.stg_kontomatik__transactions where valid_to is null),

both_banks as (
    select
        transaction_id,
        account_id,
        'kontist'                                                   as source,
        payment_method,
        invoice_number,
        document_type,
        mandate_number,
        user_selected_booking_on,
        cast(null as varchar)                                       as variable_symbol,
        cast(null as varchar)                                       as constant_symbol
    from kontist
    union all
    select
        transaction_id,
        account_id,
        'kontomatik'                                                as source,
        cast(null as varchar)                                       as payment_method,
        cast(null as varchar)                                       as invoice_number,
        cast(null as varchar)                                       as document_type,
        cast(null as varchar)                                       as mandate_number,
        cast(null as date)                                          as user_selected_booking_on,
        variable_symbol,
        constant_symbol
    from kontomatik
),

final as (
    select *
    from both_banks
    where coalesce(
        payment_method, invoice_number, document_type, mandate_number, cast(user_selected_booking_on as varchar),
        variable_symbol, constant_symbol
    ) is not null
)

select * from final
order by account_id, transaction_id
