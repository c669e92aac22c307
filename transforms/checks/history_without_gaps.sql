-- The versions of a transaction overlap, leave a gap in time, or have a `change` that is impossible for them.
with

versions as (select transaction_id, valid_from, valid_to, change from ledger.transaction_history),
repeated as (select transaction_id from versions group by transaction_id having count(*) > 1),

-- Nearly every transaction has one version only: that one needs no order
alone as (select * from versions anti join repeated using (transaction_id)),

lives as (
    select
        *,
        lead(valid_from) over (partition by transaction_id order by valid_from) as next_valid_from,
        lag(change) over (partition by transaction_id order by valid_from) as previous_change
    from versions
    semi join repeated using (transaction_id)
)

select transaction_id from alone where valid_to is not null or change <> 'new'
union all
select transaction_id
from lives
where valid_to is distinct from next_valid_from
    or (change = 'new') is distinct from (coalesce(previous_change, 'removed') = 'removed')
