-- The monthly cash flow of an account is more or less than its booked transactions.
with

booked as (
    select account_id, currency, count(*) as transactions, sum(amount) as amount
    from ledger.transactions
    where status = 'booked'
    group by account_id, currency
),

-- a divided movement counts once on each account that it is divided to, and so does one with tax; a tax that the buyer owes and
-- deducts at once moves no money
divided as (
    select
        account_id,
        currency,
        count(distinct (transaction_id, ledger_account)) - count(distinct transaction_id) as transactions
    from ledger.postings
    where (leg > 4 or (leg = 2 and vat_code is not null))
        and not (leg > 1000 and (transaction_id, leg % 1000) in (
            select (transaction_id, leg % 1000) from ledger.postings where leg > 2000
        ))
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
left join divided using (account_id, currency)
where booked.transactions + coalesce(divided.transactions, 0) is distinct from flow.transactions
    or booked.amount is distinct from flow.amount
    or booked.amount is distinct from flow.both_ways
