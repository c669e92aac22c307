-- Every version of every account that is known by imported files only.
-- grain:  account_id, valid_from
-- checks: not_null(institution, currency), accepted(account_type, 'account')

select
    -- keys
    account_id,
    source_account_id,
    -- what it is
    institution,
    account_type,
    iban,
    name,
    currency,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.file.accounts
