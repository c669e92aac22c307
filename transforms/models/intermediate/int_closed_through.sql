-- One row per account with a closed month: the last day that is closed. A month is closed after all months before it.
-- grain:  account_id
-- checks: not_null(closed_through)

with

months as (select * from staging.stg_closings__months),

final as (
    select account_id, max(last_day) as closed_through
    from months
    group by account_id
)

select * from final
