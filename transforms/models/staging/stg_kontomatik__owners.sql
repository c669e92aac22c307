-- Every version of every owner that Kontomatik shows with a consent.
-- grain:  consent_id, position, valid_from
-- checks: not_null(consent_id)

select
    -- keys
    consent_id,
    position,
    person_key,
    document_key,
    external_id,
    -- who it is
    nullif(trim(name), '')                                          as name,
    kind,
    nullif(trim(email), '')                                         as email,
    nullif(trim(phone), '')                                         as phone,
    nullif(trim(address), '')                                       as address,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontomatik.owners
