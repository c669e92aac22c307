-- Every file that was imported.
-- grain:  file_id
-- checks: not_null(account_id, name, sha256, imported_at)

select
    -- keys
    file_id,
    account_id,
    -- what it is
    name,
    sha256,
    format,
    bytes,
    entries,
    money_in,
    money_out,
    -- since when, and until when it counted
    imported_at,
    undone_at
from raw.file.files
