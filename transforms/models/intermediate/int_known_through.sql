-- One row: the day up to which the accounts are known. It goes on for an account that is not read any more.
-- grain:  known_through

with

accounts as (select * from intermediate.int_accounts),

final as (
    select coalesce(max(last_completed_on), max(last_booked_on)) as known_through
    from accounts
    having known_through is not null
)

select * from final
