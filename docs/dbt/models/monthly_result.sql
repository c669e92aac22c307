-- Income, expenses and what remains, by month and currency. Own transfers and exchanges are neither.
with

flows as (select * from {{ source('kontoledger', 'cash_flow_monthly') }}),
categories as (select * from {{ source('kontoledger', 'ledger_accounts') }}),

final as (
    select
        month,
        currency,
        cast(coalesce(sum(net_amount) filter (where kind = 'income'), 0) as decimal(38, 2))  as income,
        cast(coalesce(sum(net_amount) filter (where kind = 'expense'), 0) as decimal(38, 2)) as expenses,
        cast(sum(net_amount) as decimal(38, 2))                                              as result
    from flows
    inner join categories using (ledger_account)
    where kind in ('income', 'expense')
    group by month, currency
)

select * from final
