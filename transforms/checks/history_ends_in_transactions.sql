-- The open versions of the history are not the transactions as they are shown now.
with

now_shown as (
    select account_id, count(*) as transactions, sum(hash(shown)) as content
    from ledger.transactions as shown
    group by account_id
),

still_open as (
    select account_id, count(*) as transactions, sum(hash(version)) as content
    from (
        select * exclude (valid_from, valid_to, change, succeeds_transaction_id)
        from ledger.transaction_history
        where valid_to is null and change <> 'removed'
    ) as version
    group by account_id
)

select account_id
from now_shown
full outer join still_open using (account_id)
where now_shown.transactions is distinct from still_open.transactions
    or now_shown.content is distinct from still_open.content
