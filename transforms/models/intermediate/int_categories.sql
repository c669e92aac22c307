-- One row per combination of category, type, labels and direction, of a movement or a split, that the seed `categories` maps to an account.
-- grain:  kind
-- checks: not_null(source, labels, direction, ledger_account, decided_by), accepted(direction, 'in', 'out')

with

mapping as (select * from seeds.categories),
kinds   as (select * from intermediate.int_bank_words),

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
        words.kind,
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
        partition by words.kind
        order by mapping.line, words.value
    ) = 1
)

select * from final
