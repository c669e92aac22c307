-- One row per row of a bank that could not be understood; it is in no other table.
-- grain:  quarantine_id
-- checks: not_null(source, account_id, reason, payload, first_seen_at), accepted(source, 'kontist', 'kontomatik')

with

kontist    as (select * from staging.stg_kontist__quarantine),
kontomatik as (select * from staging.stg_kontomatik__quarantine),

versions as (
    select 'kontist' as source, * from kontist
    union all
    select 'kontomatik' as source, * from kontomatik
),

seen as (select quarantine_id, min(valid_from) as first_seen_at from versions group by quarantine_id),

final as (
    select
        versions.quarantine_id,
        versions.source,
        versions.account_id,
        versions.window_on,
        versions.reason,
        versions.payload,
        seen.first_seen_at
    from versions
    inner join seen using (quarantine_id)
    where versions.valid_to is null
)

select * from final
order by quarantine_id
