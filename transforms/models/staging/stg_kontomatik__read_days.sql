-- What each day of a Kontomatik account holds by what was read of it.
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
from raw.kontomatik.read_days
where rows > 0
