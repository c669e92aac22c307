-- One row per consent, as the vault had it at the last run.
-- grain:  consent_id
-- checks: not_null(source, institution, access_mode, status, created_at, read_at)

with

consents as (
    select 'kontomatik' as source, * from staging.stg_kontomatik__consents
    union all
    select 'kontist' as source, * from staging.stg_kontist__consents
),

final as (
    select
        consent_id,
        source,
        institution,
        target,
        access_mode,
        status,
        created_at,
        expires_at,
        -- counted from the moment of reading, so that the same raw data always give the same ledger
        case
            when expires_at is not null
                then greatest(0, (epoch_us(expires_at) - epoch_us(read_at)) // 86_400_000_000)
        end                                                         as days_left,
        read_at
    from consents
)

select * from final
order by consent_id
