-- One row per sign-in of a bank (`target`), as the last read catalog of Kontomatik lists it; empty until `catalog` has read it.
-- grain:  target
-- checks: not_null(source, institution, name, country, access_modes, beta, read_at)

with

institutions as (select * from staging.stg_kontomatik__institutions),

final as (
    select
        target,
        'kontomatik'                                                as source,
        institution,
        name,
        country,
        list_sort(coalesce(access_modes, []))                       as access_modes,
        beta,
        read_at
    from institutions
)

select * from final
order by target
