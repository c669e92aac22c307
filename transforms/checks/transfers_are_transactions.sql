-- A transfer names a movement that is missing or has another amount; or a transaction names a transfer that is not matched.
with

named as (
    select transfer_id, status, out_transaction_id as transaction_id, out_account_id as account_id, out_amount as amount from ledger.transfers
    union all
    select transfer_id, status, in_transaction_id, in_account_id, in_amount from ledger.transfers
),

claimed as (select transaction_id, account_id, amount, transfer_id from ledger.transactions where transfer_id is not null)

select named.transfer_id
from named
full outer join claimed using (transaction_id, transfer_id)
where (claimed.transaction_id is null and named.status = 'matched')
    or named.transaction_id is null
    or named.status <> 'matched' and claimed.transaction_id is not null
    or named.amount <> claimed.amount
    or named.account_id <> claimed.account_id
