-- One movement fulfils two expected payments, or an expected payment is fulfilled without a movement, or by one that does not exist.
select min(expected_payment_id) from ledger.expected_payments where transaction_id is not null group by transaction_id having count(*) > 1
union all
select expected_payment_id
from ledger.expected_payments
where (status in ('executed', 'late', 'different amount')) is distinct from (transaction_id is not null)
    or status in ('executed', 'late') and paid_amount is distinct from amount
union all
select expected_payment_id
from ledger.expected_payments
anti join ledger.transactions using (transaction_id)
where transaction_id is not null
