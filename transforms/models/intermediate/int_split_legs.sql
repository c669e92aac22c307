-- One row per leg that stands in the place of leg 2: a split that is posted, or what comes back of one.
-- grain:  transaction_id, leg
-- checks: not_null(split, account_id, booked_on, ledger_account, amount, currency, decided_by)

with

splits       as (select * from intermediate.int_splits where status = 'posted'),
categories   as (select * from intermediate.int_categories),
rules        as (select * from intermediate.int_rule_hits),
decisions    as (select * from intermediate.int_decisions where not starts_with(decided_by, 'rule ')),
reversals    as (select * from intermediate.int_reversals),
conversions  as (select * from intermediate.int_conversions),
settings     as (select * from intermediate.int_settings),
transactions as (select * from intermediate.int_transaction_versions where valid_to is null),

mapped as (
    select
        splits.*,
        categories.ledger_account                                   as mapped_account,
        categories.decided_by                                       as mapped_by
    from splits
    left join categories
        on categories.source = splits.source
        and categories.category is not distinct from splits.category
        and categories.transaction_type is not distinct from splits.transaction_type
        and len(categories.labels) = 0
        and categories.direction = case when splits.amount < 0 then 'out' else 'in' end
),

-- The category that the customer chose for this very part goes before a rule, and a rule before the kind of the movement
chosen as (
    select
        mapped.transaction_id,
        mapped.split,
        mapped.account_id,
        mapped.booked_on,
        case
            when starts_with(mapped_by, 'category ') then mapped_account
            else coalesce(
                rules.ledger_account,
                mapped_account,
                case when mapped.amount < 0 then 'Expenses:Uncategorised' else 'Income:Uncategorised' end
            )
        end                                                         as ledger_account,
        cast(-mapped.amount as decimal(18, 2))                      as amount,
        mapped.currency,
        case
            when starts_with(mapped_by, 'category ') then concat('split ', mapped_by)
            else concat('split ', coalesce('rule ' || rules.rule, mapped_by, 'nothing'))
        end                                                         as decided_by,
        cast(null as varchar)                                       as reversal_of,
        -- a rule names a code of its own where it decides on the part
        case when not starts_with(mapped_by, 'category ') or mapped_by is null then rules.vat_code end as chosen_vat_code,
        bank_vat_code(mapped.category, mapped.vat_rate)             as bank_vat_code,
        mapped.booked_on                                            as taxed_on
    from mapped
    left join rules using (transaction_id)
),

-- What comes back goes where each part of the payment went, as a rule does not decide on the parts either
returned as (
    select
        reversals.transaction_id,
        chosen.split,
        transactions.account_id,
        transactions.booked_on,
        chosen.ledger_account,
        cast(-chosen.amount as decimal(18, 2))                      as amount,
        chosen.currency,
        concat('reversal ', reversals.evidence)                     as decided_by,
        reversals.reversal_of,
        chosen.chosen_vat_code,
        chosen.bank_vat_code,
        chosen.taxed_on
    from chosen
    inner join reversals on reversals.reversal_of = chosen.transaction_id
    inner join transactions on transactions.transaction_id = reversals.transaction_id
    anti join decisions on decisions.transaction_id = reversals.transaction_id
),

legs as (
    select * from chosen
    union all
    select * from returned
),

converted as (
    select
        legs.*,
        settings.reporting_currency,
        conversions.of_this,
        conversions.of_reporting,
        case
            when legs.currency = settings.reporting_currency then legs.amount
            else in_reporting(legs.amount, conversions.of_this, conversions.of_reporting)
        end                                                         as reporting_amount,
        in_reporting(
            sum(legs.amount) over (partition by legs.transaction_id), conversions.of_this, conversions.of_reporting
        )                                                           as reporting_whole,
        row_number() over (partition by legs.transaction_id order by abs(legs.amount) desc, legs.split) as place
    from legs
    cross join settings
    left join conversions on conversions.currency = legs.currency and conversions.day = legs.booked_on
),

-- each is rounded by itself: what that leaves of the whole, a few cents, is on the largest
rounded as (
    select
        * exclude (reporting_amount),
        case
            when currency = reporting_currency or place > 1 then reporting_amount
            else in_cents(reporting_whole - sum(reporting_amount) over (partition by transaction_id) + reporting_amount)
        end                                                         as reporting_amount
    from converted
),

final as (
    select
        transaction_id,
        cast(4 + split as bigint)                                   as leg,
        split,
        account_id,
        booked_on,
        ledger_account,
        amount,
        currency,
        -- a part may be larger than the whole, and too large: then no leg has an amount in the reporting currency
        case when bool_and(reporting_amount is not null) over (partition by transaction_id) then reporting_amount end
            as reporting_amount,
        reporting_currency,
        decided_by,
        reversal_of,
        chosen_vat_code,
        bank_vat_code,
        taxed_on,
        of_this,
        of_reporting
    from rounded
)

select * from final
