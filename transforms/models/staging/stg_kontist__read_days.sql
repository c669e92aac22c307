-- The control totals of each day of a Kontist account: number and sum of the booked rows that were read.
-- grain:  account_id, day
-- checks: not_null(rows)

select
    -- keys
    account_id,
    day,
    import_id,
    -- what was read: the booked rows
    rows,
    amount
from raw.kontist.read_days
where rows > 0
