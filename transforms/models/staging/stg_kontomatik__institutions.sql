-- Every sign-in of a bank that Kontomatik's catalog listed when it was read last.
-- grain:  target
-- checks: not_null(institution, name, country, beta, read_at)

select
    -- keys
    target,
    institution,
    -- what it is
    name,
    upper(country)                                                  as country,
    cast(cast(access_modes as json) as varchar[])                   as access_modes,
    beta,
    -- when this was so
    read_at
from raw.kontomatik.institutions
