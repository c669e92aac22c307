-- `transaction_details` does not hold every current row with further fields exactly once, as the bank or the file shows it.
with

banks as (
    select
        transaction_id,
        nullif(trim(payment_method), '') as payment_method,
        nullif(trim(invoice_number), '') as invoice_number,
        nullif(trim(document_type), '') as document_type,
        nullif(trim(mandate_number), '') as mandate_number,
        nullif(trim(recurly_invoice_number), '') as recurly_invoice_number,
        nullif(trim(category_code), '') as category_code,
        nullif(trim(categorization_type), '') as categorization_type,
        nullif(trim(vat_category_code), '') as vat_category_code,
        nullif(trim(vat_rate), '') as vat_rate,
        nullif(trim(merchant_category_code), '') as merchant_category_code,
        nullif(upper(trim(merchant_country_code)), '') as merchant_country,
        nullif(trim(personal_note), '') as personal_note,
        nullif(trim(description), '') as bank_description,
        memo as memo_reason,
        fees,
        null as variable_symbol,
        null as constant_symbol,
        user_selected_booking_date is not null as chosen
    from raw.kontist.transactions
    where _dlt_valid_to is null
    union all by name
    select
        transaction_id,
        nullif(trim(variable_symbol), '') as variable_symbol,
        nullif(trim(constant_symbol), '') as constant_symbol,
        false as chosen
    from raw.kontomatik.transactions
    where _dlt_valid_to is null
    union all by name
    -- if several files hold an entry, the fields of the first file count
    select transaction_id, nullif(trim(mandate_number), '') as mandate_number, false as chosen
    from raw.file.transactions
    where _dlt_valid_to is null
        and transaction_id not in (select transaction_id from ledger.file_entries where status <> 'counted')
    qualify row_number() over (partition by transaction_id order by _dlt_valid_from, import_id) = 1
),

ours as (select *, user_selected_booking_on is not null as chosen from ledger.transaction_details),

said as (
    select count(*) as n, sum(hash(transaction_id, chosen, hash(
        payment_method, invoice_number, document_type, mandate_number, recurly_invoice_number, category_code,
        categorization_type, vat_category_code, vat_rate, merchant_category_code, merchant_country, personal_note,
        bank_description, memo_reason, fees, variable_symbol, constant_symbol
    ))) as details
    from banks
    where chosen or coalesce(
        payment_method, invoice_number, document_type, mandate_number, recurly_invoice_number, category_code,
        categorization_type, vat_category_code, vat_rate, merchant_category_code, merchant_country, personal_note,
        bank_description, memo_reason, fees, variable_symbol, constant_symbol
    ) is not null
),

held as (
    select count(*) as n, sum(hash(transaction_id, chosen, hash(
        payment_method, invoice_number, document_type, mandate_number, recurly_invoice_number, category_code,
        categorization_type, vat_category_code, vat_rate, merchant_category_code, merchant_country, personal_note,
        bank_description, memo_reason, fees, variable_symbol, constant_symbol
    ))) as details
    from ours
)

select held.n
from said
cross join held
where said.n <> held.n or said.details is distinct from held.details
