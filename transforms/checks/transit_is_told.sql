-- The balance of money in transit is not the sum of the movements that `in_transit` lists.
with

booked as (
    select currency, -sum(amount) as amount
    from ledger.postings
    where leg >= 2 and ledger_account = 'Assets:Transit'
    group by currency
),

listed as (select currency, sum(amount) as amount from ledger.in_transit group by currency)

select currency
from booked
full outer join listed using (currency)
where coalesce(booked.amount, 0) <> coalesce(listed.amount, 0)
