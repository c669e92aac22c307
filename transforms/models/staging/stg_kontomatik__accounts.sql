-- Every version of every account or card that Kontomatik reads, in the ledger's names and units.
-- grain:  account_id, consent_id, source_account_id, valid_from
-- checks: not_null(institution), accepted(account_type, 'account', 'card')

select
    -- keys
    account_id,
    source_account_id,
    consent_id,
    -- what it is
    institution,
    account_type,
    nullif(trim(iban), '')                                          as iban,
    coalesce(nullif(trim(name), ''), nullif(trim(friendly_name), ''))as name,
    nullif(trim(currency), '')                                      as currency,
    nullif(trim(owner_name), '')                                    as owner_name,
    -- money
    balance,
    available_balance,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontomatik.accounts
