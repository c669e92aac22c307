-- Each account with its last balance, and how many of its days the bank's own balances confirm.
with

accounts as (select * from {{ source('kontoledger', 'accounts') }}),
coverage as (select * from {{ source('kontoledger', 'coverage') }}),

days as (
    select account_id, count(*) as days, count(*) filter (where proof in ('chain', 'reported')) as reconciled_days
    from coverage
    group by account_id
),

final as (
    select
        accounts.account_id,
        accounts.display_name,
        accounts.currency,
        accounts.balance,
        accounts.last_imported_at,
        coalesce(days.days, 0)            as days,
        coalesce(days.reconciled_days, 0) as reconciled_days
    from accounts
    left join days using (account_id)
)

select * from final
