-- One row: the ledger's last complete day, and the first day of each stretch that a lender asks about; none before the first complete day.
-- grain:  as_of

with

-- The last day that any account was read after its end
complete as (
    select max(least(to_on, seen_on - 1)) as as_of
    from intermediate.int_last_seen
    having as_of is not null
),

final as (
    select
        as_of,
        as_of - 89                                                  as lately_from,
        cast(date_trunc('month', as_of) as date)                    as this_month,
        cast(this_month - interval 1 month as date)                 as last_month,
        cast(this_month - interval 2 month as date)                 as month_before,
        -- six whole months
        cast(this_month - interval 6 month as date)                 as regular_from
    from complete
)

select * from final
