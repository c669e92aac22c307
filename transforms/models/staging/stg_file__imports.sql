-- Every stretch of days that an imported file covers without a gap, as an import of these days.
-- grain:  import_id
-- checks: not_null(started_at)

select
    -- keys
    import_id,
    run_id,
    account_id,
    consent_id,
    -- which days, and the moment that they are known up to: the end of the last of them
    started_at,
    finished_at,
    as_of,
    window_end                                                      as finished_on,
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
from raw.file.imports
