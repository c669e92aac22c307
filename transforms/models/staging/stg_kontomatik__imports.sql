-- Every attempt to read one Kontomatik account.
-- grain:  import_id
-- checks: not_null(started_at)

select
    -- keys
    import_id,
    run_id,
    account_id,
    consent_id,
    -- what was asked for, and what came
    started_at,
    finished_at,
    coalesce(as_of, finished_at)                                    as as_of,
    cast(coalesce(as_of, finished_at) at time zone 'Europe/Warsaw' as date) as finished_on,
    status,
    depth,
    window_start,
    window_end,
    rows,
    new_rows,
    changed_rows,
    removed_rows,
    requests,
    reason
from raw.kontomatik.imports
