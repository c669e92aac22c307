-- One row per account of which a file was ever imported: whether one still counts, and the day of the first movement that its bank shows.
-- grain:  account_id
-- checks: not_null(is_current)

with

files      as (select account_id, bool_or(undone_at is null) as is_current from staging.stg_file__files group by account_id),
kontist    as (select account_id, transaction_on as booked_on from staging.stg_kontist__transactions where valid_to is null and status = 'booked'),
kontomatik as (select account_id, booked_on from staging.stg_kontomatik__transactions where valid_to is null and status = 'booked'),

booked as (
    select * from kontist semi join files using (account_id)
    union all
    select * from kontomatik semi join files using (account_id)
),

final as (
    select files.account_id, any_value(files.is_current) as is_current, min(booked.booked_on) as first_bank_on
    from files
    left join booked using (account_id)
    group by files.account_id
)

select * from final
