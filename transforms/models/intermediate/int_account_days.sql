-- One row per account and day, from its first booked movement or difference to the last known day.
-- grain:  account_id, day
-- checks: not_null(day)

with

accounts    as (select * from intermediate.int_accounts),
differences as (
    select account_id, min(day) as first_on, max(day) as last_on from intermediate.int_differences group by account_id
),

known as (
    select
        account_id,
        least(accounts.first_booked_on, differences.first_on)       as first_on,
        greatest(accounts.last_booked_on, accounts.last_completed_on, differences.last_on) as last_on
    from accounts
    left join differences using (account_id)
),

final as (
    select
        account_id,
        cast(unnest(generate_series(cast(first_on as timestamp), cast(last_on as timestamp), interval 1 day)) as date) as day
    from known
    where first_on is not null
)

select * from final
