-- The history does not hold every version of every transaction exactly once.
with

banks as (
    select account_id, count(*) as versions, sum(hash(transaction_id, _dlt_valid_from)) as ids
    from (
        select account_id, transaction_id, _dlt_valid_from from raw.kontist.transactions
        union all
        select account_id, transaction_id, _dlt_valid_from from raw.kontomatik.transactions
    )
    group by account_id
),

ours as (
    select account_id, count(*) as versions, sum(hash(transaction_id, valid_from)) as ids
    from ledger.transaction_history
    where change <> 'removed' and source <> 'file'
    group by account_id
)

select account_id
from banks
full outer join ours using (account_id)
where banks.versions is distinct from ours.versions or banks.ids is distinct from ours.ids
