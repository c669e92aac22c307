-- One row per version of an owner, with the id of the person.
-- grain:  consent_id, position, valid_from
-- checks: not_null(owner_id)

with

owners as (select * from staging.stg_kontomatik__owners),

-- The keyed hash of a national number or document separates two people of one name; without it, the bank's own data does
final as (
    select
        *,
        concat('o-', left(md5(coalesce(person_key, document_key, concat_ws('|', lower(name), lower(email), external_id))), 16)) as owner_id
    from owners
)

select * from final
