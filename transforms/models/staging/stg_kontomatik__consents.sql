-- Every consent that the vault held at the last run.
-- grain:  consent_id
-- checks: not_null(read_at)

select
    -- keys
    consent_id,
    -- what was agreed
    institution,
    target,
    access_mode,
    status,
    created_at,
    expires_at,
    -- when this was so
    read_at
from raw.kontomatik.consents
