-- A row that is no movement at the bank is shown as one, has a booked day, a posting or a transfer, or a movement is shown as a memo.
with

banks as (
    select account_id, count(*) as memos, sum(hash(transaction_id)) as ids
    from raw.kontist.transactions
    where _dlt_valid_to is null and memo is not null
    group by account_id
),

memos as (select * from ledger.transactions where status = 'memo'),

ours as (select account_id, count(*) as memos, sum(hash(transaction_id)) as ids from memos group by account_id)

select account_id
from banks
full outer join ours using (account_id)
where banks.memos is distinct from ours.memos or banks.ids is distinct from ours.ids
union all
select account_id from memos where booked_on is not null or transfer_id is not null or counterparty_id is not null
union all
select account_id from memos semi join ledger.postings using (transaction_id)
