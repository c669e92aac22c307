-- One row per person who owns accounts that Kontomatik reads, as the bank shows them.
-- grain:  owner_id
-- checks: not_null(source, consents, first_seen_at)

with

owners as (select * from intermediate.int_owners),

final as (
    select
        owner_id,
        'kontomatik'                                                as source,
        max_by(name, row(valid_to is null, valid_from, name))       as name,
        max_by(kind, row(valid_to is null, valid_from, kind))       as kind,
        max_by(external_id, row(valid_to is null, valid_from, external_id)) as external_id,
        max_by(email, row(valid_to is null, valid_from, email))     as email,
        max_by(phone, row(valid_to is null, valid_from, phone))     as phone,
        max_by(address, row(valid_to is null, valid_from, address)) as address,
        list_sort(list(distinct consent_id))                        as consents,
        min(valid_from)                                             as first_seen_at,
        case when count(*) filter (where valid_to is null) = 0 then max(valid_to) end as gone_at
    from owners
    group by owner_id
)

select * from final
order by owner_id
