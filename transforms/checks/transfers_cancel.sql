-- The two ends of a transfer are not opposite movements on two accounts within ten days, or one movement is the end of two transfers.
with

ends as (select transfer_id, unnest([out_transaction_id, in_transaction_id]) as transaction_id from ledger.transfers)

select transfer_id
from ledger.transfers
where out_account_id = in_account_id
    or out_amount >= 0
    or in_amount <= 0
    or (evidence <> 'decision' and out_currency = in_currency and out_amount + in_amount <> 0)
    or (evidence <> 'decision' and abs(arrived_on - left_on) > 10)
    or (evidence = 'exchange') and out_currency = in_currency
    or (evidence not in ('exchange', 'decision') and out_currency <> in_currency)
union all
select min(transfer_id) from ends group by transaction_id having count(*) > 1
