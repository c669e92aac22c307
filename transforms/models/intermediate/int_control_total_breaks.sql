-- One row per account and day whose booked movements differ from its control total: a row was lost, doubled or changed after the read.
-- grain:  account_id, day
-- checks: not_null(missing_rows)

with

kontist    as (select * from staging.stg_kontist__read_days),
kontomatik as (select * from staging.stg_kontomatik__read_days),
movements  as (select * from intermediate.int_booked_days where transactions > of_files),

read as (
    select * from kontist
    union all
    select * from kontomatik
),

-- An account without control totals was read by an earlier version only
totalled as (select distinct account_id from read),

compared as (
    select
        account_id,
        day,
        coalesce(read.rows, 0) - coalesce(movements.transactions - movements.of_files, 0) as missing_rows,
        -- movements in another currency than the account's are counted, and in no sum
        case
            when coalesce(movements.in_other_currencies, 0) = 0 and (read.amount is not null or read.rows is null)
                then coalesce(read.amount, 0) - coalesce(movements.money_in + movements.money_out - movements.amount_of_files, 0)
            else 0
        end                                                         as missing_amount
    from read
    full outer join (select * from movements semi join totalled using (account_id)) as movements using (account_id, day)
),

final as (
    select account_id, day, missing_rows, cast(missing_amount as decimal(18, 2)) as missing_amount
    from compared
    where missing_rows <> 0 or missing_amount <> 0
)

select * from final
