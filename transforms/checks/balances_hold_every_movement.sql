-- The daily balances of an account hold more or less than its booked transactions.
with

accounts as (select account_id, currency from ledger.accounts),

booked as (
    select
        transactions.account_id,
        count(*) as transactions,
        coalesce(sum(amount) filter (where transactions.currency is not distinct from accounts.currency), 0) as amount
    from ledger.transactions
    inner join accounts using (account_id)
    where status = 'booked'
    group by transactions.account_id
),

ours as (
    select account_id, sum(transactions) as transactions, sum(money_in) + sum(money_out) as amount
    from ledger.balances_daily
    group by account_id
)

select account_id
from booked
full outer join ours using (account_id)
where coalesce(booked.transactions, 0) <> coalesce(ours.transactions, 0) or coalesce(booked.amount, 0) <> coalesce(ours.amount, 0)
