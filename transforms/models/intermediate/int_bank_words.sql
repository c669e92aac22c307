-- One row per combination of category, type, labels and direction that a bank gives to a movement, or to a part of one.
-- grain:  kind
-- checks: not_null(source, labels, direction), accepted(direction, 'in', 'out')

with

splits as (select * from staging.stg_kontist__splits),

kinds as (
    select distinct
        source,
        category,
        transaction_type,
        labels,
        case when amount < 0 then 'out' else 'in' end               as direction
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked'
    union
    select
        versions.source,
        splits.category,
        versions.transaction_type,
        versions.labels,
        case when splits.amount < 0 then 'out' else 'in' end        as direction
    from splits
    inner join intermediate.int_transaction_versions as versions using (transaction_id)
    where splits.valid_to is null and versions.valid_to is null and versions.status = 'booked'
),

final as (
    select
        -- as JSON, in which no two differ only by a comma or a blank
        cast(to_json([source, category, transaction_type, cast(to_json(labels) as varchar), direction]) as varchar) as kind,
        *
    from kinds
)

select * from final
