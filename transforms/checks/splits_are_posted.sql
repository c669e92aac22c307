-- A split that is said to be posted has no leg of its amount, a leg of a split has no split, or splits are posted that are not the whole of their transaction.
with

-- what comes back of a divided payment has the legs of that payment, and no splits of its own
legs as (
    select transaction_id, leg % 1000 as leg, sum(amount) as amount
    from ledger.postings
    where leg > 4 and leg not in (1002, 2002) and reversal_of is null
    group by transaction_id, leg % 1000
),

posted as (select transaction_id, leg, amount from ledger.transaction_splits where status = 'posted')

select coalesce(legs.transaction_id, posted.transaction_id) as transaction_id
from legs
full outer join posted using (transaction_id, leg)
where legs.amount is distinct from -posted.amount
union all
select transaction_id
from ledger.transaction_splits as splits
inner join ledger.transactions using (transaction_id)
group by transaction_id, transactions.amount, transactions.status
having bool_or(splits.status = 'posted')
    and (sum(splits.amount) is distinct from transactions.amount or transactions.status <> 'booked' or count(distinct splits.status) > 1)
