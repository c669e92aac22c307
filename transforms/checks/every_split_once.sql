-- `transaction_splits` does not hold every split of a current row exactly once, or holds another amount.
with

banks as (
    select
        transaction_id,
        unnest(range(1, cast(json_array_length(splits) as bigint) + 1)) as split,
        unnest(json_extract(splits, '$[*]')) as part
    from raw.kontist.transactions
    where splits is not null and _dlt_valid_to is null
),

ours as (
    select transaction_id, split, cast(cast(amount * 100 as bigint) as varchar) as cents
    from ledger.transaction_splits
)

select coalesce(banks.transaction_id, ours.transaction_id) as transaction_id
from banks
full outer join ours using (transaction_id, split)
where banks.transaction_id is null or ours.transaction_id is null
    or coalesce(part ->> '$.amount' <> ours.cents, false)
