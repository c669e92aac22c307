-- One row per combination of category, type, labels and direction, of a movement or a split, that the seed `categories` maps to an account.
-- grain:  kind
-- checks: not_null(source, labels, direction, ledger_account, decided_by), accepted(direction, 'in', 'out')

with

mapping as (select * from seeds.categories),
splits  as (select * from staging.stg_kontist__splits),

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

words as (
    select *, 'category' as field, category as value from kinds where category is not null
    union all
    select *, 'transaction_type' as field, transaction_type as value from kinds where transaction_type is not null
    union all
    select *, 'label' as field, unnest(labels) as value from kinds
),

-- The first row of the seed that fits is what counts, so the order of its rows is their precedence
final as (
    select
        concat_ws(
            ' | ', words.source, coalesce(words.category, ''), coalesce(words.transaction_type, ''), words.labels, words.direction
        )                                                           as kind,
        words.source,
        words.category,
        words.transaction_type,
        words.labels,
        words.direction,
        mapping.ledger_account,
        concat(words.field, ' ', words.value)                         as decided_by
    from words
    inner join mapping
        on mapping.source = words.source
        and mapping.field = words.field
        and lower(mapping.value) = lower(words.value)
        and mapping.direction in ('any', words.direction)
    qualify row_number() over (
        partition by words.source, words.category, words.transaction_type, words.labels, words.direction
        order by mapping.line, words.value
    ) = 1
)

select * from final
