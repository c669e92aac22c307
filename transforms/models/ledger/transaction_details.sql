-- One row per current transaction for which its bank, or the file that it is from, gives more fields than `transactions` has.
-- grain:  transaction_id
-- checks: not_null(account_id, source), accepted(source, 'kontist', 'kontomatik', 'file'),
--         accepted(memo_reason, 'customer', 'staff', 'event'),
--         relationship(transaction_id, transactions), relationship(account_id, accounts)

with

kontist    as (select * from staging.stg_kontist__transactions where valid_to is null),
kontomatik as (select * from staging.stg_kontomatik__transactions where valid_to is null),
counted    as (select transaction_id from intermediate.int_file_entries where status = 'counted'),
files      as (select * from staging.stg_file__transactions semi join counted using (transaction_id) where valid_to is null),

every_source as (
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
        cast(null as varchar)                                       as constant_symbol,
        memo_reason,
        recurly_invoice_number,
        category_code,
        categorization_type,
        vat_category_code,
        vat_rate,
        merchant_category_code,
        merchant_country,
        personal_note,
        bank_description,
        fees
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
        constant_symbol,
        cast(null as varchar)                                       as memo_reason,
        cast(null as varchar)                                       as recurly_invoice_number,
        cast(null as varchar)                                       as category_code,
        cast(null as varchar)                                       as categorization_type,
        cast(null as varchar)                                       as vat_category_code,
        cast(null as varchar)                                       as vat_rate,
        cast(null as varchar)                                       as merchant_category_code,
        cast(null as varchar)                                       as merchant_country,
        cast(null as varchar)                                       as personal_note,
        cast(null as varchar)                                       as bank_description,
        cast(null as varchar)                                       as fees
    from kontomatik
    union all by name
    select transaction_id, account_id, 'file' as source, mandate_number from files
),

final as (
    select *
    from every_source
    where coalesce(
        payment_method, invoice_number, document_type, mandate_number, cast(user_selected_booking_on as varchar),
        variable_symbol, constant_symbol, memo_reason, recurly_invoice_number, category_code, categorization_type,
        vat_category_code, vat_rate, merchant_category_code, merchant_country, personal_note, bank_description, fees
    ) is not null
)

select * from final
order by account_id, transaction_id
