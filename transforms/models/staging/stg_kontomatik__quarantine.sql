-- Every version of every Kontomatik row that could not be understood.
-- grain:  quarantine_id, valid_from
-- checks: not_null(reason, payload)

select
    -- keys
    quarantine_id,
    account_id,
    -- what is known of it
    window_on,
    reason,
    payload,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontomatik.quarantine
