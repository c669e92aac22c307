-- One row per attempt to read one account, across both banks, and per stretch of days of an imported file.
-- grain:  import_id
-- checks: not_null(source, status, started_at)

with

kontist    as (select * from staging.stg_kontist__imports),
kontomatik as (select * from staging.stg_kontomatik__imports),
files      as (select * from staging.stg_file__imports),

final as (
    select 'kontist' as source, * from kontist
    union all
    select 'kontomatik' as source, * from kontomatik
    union all
    select 'file' as source, * from files
)

select * from final
