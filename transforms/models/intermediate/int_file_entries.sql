-- One row per booked entry of the imported files, taken back or not: whether it counts, or its bank shows the payment, or its day without it.
-- grain:  transaction_id
-- checks: not_null(account_id, status), accepted(status, 'counted', 'shown', 'contradicted')

with

entries    as (
    select *
    from staging.stg_file__transactions
    qualify row_number() over (partition by transaction_id order by valid_from desc) = 1
),
accounts   as (select * from intermediate.int_file_accounts),
imports    as (
    select account_id, window_start, finished_on
    from intermediate.int_imports
    where source <> 'file' and status = 'complete' and account_id is not null
),

kontist as (
    select account_id, transaction_id, transaction_on as booked_on, amount
    from staging.stg_kontist__transactions
    where valid_to is null and status = 'booked'
),

kontomatik as (
    select account_id, transaction_id, booked_on, amount
    from staging.stg_kontomatik__transactions
    where valid_to is null and status = 'booked'
),

-- Equal payments of a day are counted, and the first of one side is the first of the other
bank_rows as (
    select
        *,
        row_number() over (partition by account_id, booked_on, amount order by transaction_id) as occurrence
    from (
        select * from kontist semi join accounts using (account_id)
        union all
        select * from kontomatik semi join accounts using (account_id)
    )
),

-- A bank may show the first day of all that it has from any hour on, and the last one was not over when it was read
covered as (
    select distinct entries.account_id, entries.booked_on
    from (select distinct account_id, booked_on from entries) as entries
    inner join accounts on accounts.account_id = entries.account_id and entries.booked_on > accounts.first_bank_on
    inner join imports
        on imports.account_id = entries.account_id
        and entries.booked_on >= coalesce(imports.window_start, date '0001-01-01')
        and entries.booked_on < imports.finished_on
),

final as (
    select
        entries.transaction_id,
        entries.account_id,
        entries.booked_on,
        entries.amount,
        case
            when bank_rows.transaction_id is not null then 'shown'
            when covered.account_id is not null then 'contradicted'
            else 'counted'
        end                                                         as status,
        bank_rows.transaction_id                                    as bank_transaction_id
    from entries
    left join bank_rows using (account_id, booked_on, amount, occurrence)
    left join covered using (account_id, booked_on)
)

select * from final
