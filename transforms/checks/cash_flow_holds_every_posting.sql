-- The monthly cash flow of an account is more or less than its booked transactions.
with

booked as (
    select account_id, currency, count(*) as transactions, sum(amount) as amount
    from ledger.transactions
    where status = 'booked'
    group by account_id, currency
),

flow as (
    select
        account_id,
        currency,
        sum(transactions) as transactions,
        sum(net_amount) as amount,
        sum(money_in) + sum(money_out) as both_ways
    from ledger.cash_flow_monthly
    group by account_id, currency
)

select account_id
from booked
full outer join flow using (account_id, currency)
where booked.transactions is distinct from flow.transactions
    or booked.amount is distinct from flow.amount
    or booked.amount is distinct from flow.both_ways
