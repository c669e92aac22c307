-- Every stretch of days of a Kontomatik account that was never read and cannot be any more.
-- grain:  account_id, from_on
-- checks: not_null(to_on, noticed_at)

select
    -- keys
    account_id,
    import_id,
    -- which days, and since when that is known
    from_on,
    to_on,
    noticed_at
from raw.kontomatik.holes
