-- The transactions as they were known at a moment: `from ledger.as_of(timestamptz '2026-03-01 12:00:00Z')`.
-- given: moment

select * exclude (valid_from, valid_to, change, succeeds_transaction_id)
from ledger.transaction_history
where change <> 'removed'
    and valid_from <= cast(moment as timestamptz)
    and (valid_to is null or valid_to > cast(moment as timestamptz))
