-- One row per account, day and balance that an imported statement gives for the end of that day.
-- grain:  account_id, day, balance

with

files      as (select file_id from staging.stg_file__files where undone_at is null),
statements as (select * from staging.stg_file__statements semi join files using (file_id) where closing_balance is not null),

final as (
    select account_id, day, balance, min(place) as place
    from (
        select account_id, last_on as day, closing_balance as balance, 0 as place from statements
        union all
        select account_id, first_on - 1 as day, opening_balance as balance, 1 as place from statements
    )
    group by account_id, day, balance
)

select * from final
