-- The transactions as they were known at a moment: `from as_of(timestamptz '2026-03-01 12:00:00Z')`, in an attached file after `use ALIAS`.
-- given: moment

select * exclude (valid_from, valid_to, change, succeeds_transaction_id)
from transaction_history
where change <> 'removed'
    and valid_from <= cast(moment as timestamptz)
    and (valid_to is null or valid_to > cast(moment as timestamptz))
