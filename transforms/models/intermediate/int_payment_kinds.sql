-- One row per booked transaction that is known to be of a kind, with the rule that says so: the first that applies.
-- grain:  transaction_id
-- checks: not_null(evidence), accepted(payment_kind, 'salary', 'pension', 'benefits', 'rent', 'utilities', 'loan', 'insurance',
--         'subscription', 'tax', 'interest', 'gambling', 'cash', 'own_transfer', 'refund')

with

-- The order of the rules is the order of `place`: a row about one transaction, an own transfer, a return, a row about the account that
-- a person's rule or decision chose, a row about an IBAN, then every other row of the seed, the first one that fits; at last regularity
mapping as (
    select
        line,
        payment_kind,
        field,
        value,
        direction,
        lower(value)                                                as bank_word,
        concat(' ', plain_value, ' ')                               as words,
        split_part(plain_value, ' ', 1)                             as first_word,
        case field when 'transaction_id' then 0 when 'ledger_account' then 3_000_000 when 'iban' then 4_000_000 else 5_000_000 end
            + line                                                  as place
    from (select *, plain_words(value) as plain_value from seeds.payment_kinds)
),

bank_words as (
    select *, plain_words(transaction_type) as plain_type
    from intermediate.int_bank_words
),

bank_word_values as (
    select *, 'category' as field, lower(category) as bank_word from bank_words where category is not null
    union all
    select *, 'transaction_type' as field, lower(transaction_type) as bank_word from bank_words where transaction_type is not null
    union all
    select *, 'label' as field, lower(unnest(labels)) as bank_word from bank_words
),

bank_word_places as (
    select values.kind, mapping.place
    from bank_word_values as values
    inner join mapping using (field, bank_word)
    where mapping.direction in ('any', values.direction)
    union all
    select parts.kind, mapping.place
    from (select *, unnest(string_split(plain_type, ' ')) as part from bank_words) as parts
    inner join mapping on mapping.first_word = parts.part and contains(concat(' ', parts.plain_type, ' '), mapping.words)
    where mapping.field in ('description', 'text') and mapping.direction in ('any', parts.direction)
),

by_bank_words as (
    select bank_words.*, places.place
    from bank_words
    inner join (select kind, min(place) as place from bank_word_places group by kind) as places using (kind)
),

name_places as (
    select parts.counterparty_name, parts.counterparty_iban, mapping.place, mapping.direction
    from (select *, unnest(string_split(plain_name, ' ')) as part from intermediate.int_counterparty_names) as parts
    inner join mapping on mapping.first_word = parts.part and contains(concat(' ', parts.plain_name, ' '), mapping.words)
    where mapping.field in ('counterparty', 'text')
    union all
    select names.counterparty_name, names.counterparty_iban, mapping.place, mapping.direction
    from intermediate.int_counterparty_names as names
    inner join mapping on mapping.field = 'iban' and upper(replace(mapping.value, ' ', '')) = names.iban
),

by_name as (
    select
        counterparty_name,
        counterparty_iban,
        min(place) filter (where direction <> 'out')                as place_in,
        min(place) filter (where direction <> 'in')                 as place_out
    from name_places
    group by counterparty_name, counterparty_iban
),

-- `may_have_payment_words` finds the few texts that may have a word of the seed, case and accents aside: only these are taken apart
booked as (
    select
        versions.transaction_id,
        versions.amount < 0                                         as is_out,
        case when seeds.may_have_payment_words(versions.description) then versions.description end as description,
        least(by_bank_words.place, case when versions.amount < 0 then by_name.place_out else by_name.place_in end) as place
    from intermediate.int_transaction_versions as versions
    left join by_bank_words
        on by_bank_words.source = versions.source
        and by_bank_words.category is not distinct from versions.category
        and by_bank_words.transaction_type is not distinct from versions.transaction_type
        and by_bank_words.labels = versions.labels
        and by_bank_words.direction = case when versions.amount < 0 then 'out' else 'in' end
    left join by_name
        on by_name.counterparty_name is not distinct from versions.counterparty_name
        and by_name.counterparty_iban is not distinct from versions.counterparty_iban
    where versions.valid_to is null and versions.status = 'booked'
        and (
            by_bank_words.place is not null
            or by_name.place_in is not null
            or by_name.place_out is not null
            or seeds.may_have_payment_words(versions.description)
        )
),

texts as (
    select description, plain_words(description) as plain_text
    from (select distinct description from booked where description is not null)
),

by_text as (
    select
        parts.description,
        min(mapping.place) filter (where mapping.direction <> 'out') as place_in,
        min(mapping.place) filter (where mapping.direction <> 'in') as place_out
    from (select *, unnest(string_split(plain_text, ' ')) as part from texts) as parts
    inner join mapping on mapping.first_word = parts.part and contains(concat(' ', parts.plain_text, ' '), mapping.words)
    where mapping.field in ('description', 'text')
    group by parts.description
),

by_merchant as (
    select merchants.transaction_id, min(mapping.place) as place
    from staging.stg_kontist__transactions as merchants
    inner join mapping on mapping.field = 'merchant_category' and mapping.value = merchants.merchant_category_code
    where merchants.valid_to is null and merchants.status = 'booked'
        and mapping.direction in ('any', case when merchants.amount < 0 then 'out' else 'in' end)
    group by merchants.transaction_id
),

found as (
    select
        booked.transaction_id,
        least(booked.place, case when booked.is_out then by_text.place_out else by_text.place_in end) as place,
        cast(null as varchar)                                       as decided_by
    from booked
    left join by_text using (description)
    union all
    select transaction_id, place, cast(null as varchar) as decided_by from by_merchant
    union all
    select mapping.value as transaction_id, mapping.place, cast(null as varchar) as decided_by
    from mapping
    inner join intermediate.int_transaction_versions as versions on versions.transaction_id = mapping.value
    where mapping.field = 'transaction_id' and versions.valid_to is null and versions.status = 'booked'
    union all
    select transaction_id, 1_000_000 as place, decided_by
    from intermediate.int_decisions
    where decided_by = 'own account' or starts_with(decided_by, 'transfer ')
    union all
    select transaction_id, 2_000_000 as place, concat('reversal ', evidence) as decided_by
    from intermediate.int_reversals
    union all
    select decisions.transaction_id, mapping.place, concat(decisions.decided_by, ' on ', mapping.value) as decided_by
    from intermediate.int_decisions as decisions
    inner join mapping on mapping.field = 'ledger_account' and mapping.value = decisions.ledger_account
    where decisions.decided_by = 'decision' or starts_with(decisions.decided_by, 'rule ')
),

first_of_each as (
    select transaction_id, min(place) as place, arg_min(decided_by, place) as decided_by
    from found
    where place is not null
    group by transaction_id
),

known as (
    select
        first_of_each.transaction_id,
        coalesce(mapping.payment_kind, case first_of_each.place when 1_000_000 then 'own_transfer' else 'refund' end) as payment_kind,
        case
            when mapping.line is null then first_of_each.decided_by
            else concat_ws(
                ' ',
                -- an IBAN is not repeated, and a transaction names itself
                case
                    when mapping.field in ('transaction_id', 'iban') then mapping.field
                    when mapping.field = 'ledger_account' then first_of_each.decided_by
                    else concat(replace(mapping.field, '_', ' '), ' ', mapping.value)
                end,
                concat('(row ', mapping.line, ' of payment_kinds)')
            )
        end                                                         as evidence
    from first_of_each
    left join mapping using (place)
),

-- Regularity says what no rule does: a payment is as most of its series are, and what a merchant collects in equal amounts is subscribed to
hits as (
    select
        hits.transaction_id,
        hits.recurring_id,
        hits.cadence,
        hits.direction = 'out' and hits.step_months > 0
            and coalesce(regexp_matches(
                lower(strip_accents(hits.transaction_type)),
                'card|kart|direct[^a-z0-9]+debit|lastschrift|polecenie[^a-z0-9]+zap[lł]aty|inkaso'
            ), false)                                               as is_collected,
        hits.nth = 1 or hits.amount = lag(hits.amount) over (partition by hits.recurring_id order by hits.nth) as is_same_amount,
        known.payment_kind
    from intermediate.int_recurring_hits as hits
    left join known using (transaction_id)
),

shares as (
    select
        recurring_id,
        payment_kind,
        count(*)                                                    as payments,
        sum(count(*)) over (partition by recurring_id)              as of_all
    from hits
    group by recurring_id, payment_kind
),

by_series as (
    select recurring_id, payment_kind, concat('series ', recurring_id, ': ', payments, ' of ', of_all, ' payments') as evidence
    from shares
    where payment_kind not in ('none', 'refund') and 2 * payments >= of_all
    qualify row_number() over (partition by recurring_id order by payments desc, payment_kind) = 1
    union all
    select
        recurring_id,
        'subscription'                                              as payment_kind,
        concat('series ', recurring_id, ': ', any_value(cadence), ', card or direct debit, mostly the same amount') as evidence
    from hits
    group by recurring_id
    having count(payment_kind) = 0 and bool_and(is_collected) and 4 * count(*) filter (where is_same_amount) >= 3 * count(*)
),

final as (
    select * from known where payment_kind <> 'none'
    union all
    select hits.transaction_id, by_series.payment_kind, by_series.evidence
    from hits
    inner join by_series using (recurring_id)
    where hits.payment_kind is null
)

select * from final
