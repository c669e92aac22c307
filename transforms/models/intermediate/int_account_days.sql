-- One row per account and day, from its first booked movement to the last day that is known.
-- grain:  account_id, day
-- checks: not_null(day)

with

accounts as (select * from intermediate.int_accounts where first_booked_on is not null),

final as (
    select
        account_id,
        cast(unnest(generate_series(
            cast(first_booked_on as timestamp),
            cast(greatest(last_booked_on, last_completed_on) as timestamp),
            interval 1 day
        )) as date)                                                 as day
    from accounts
)

select * from final
