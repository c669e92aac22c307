-- One row per leg of the double entry of a booked transaction: the bank account, where the money came from or went, and the tax in it.
-- grain:  transaction_id, leg
-- checks: not_null(account_id, booked_on, ledger_account, amount, currency, decided_by),
--         relationship(account_id, accounts), relationship(ledger_account, ledger_accounts),
--         joins(transaction_id, transactions), joins(booked_on, calendar.day)

with

accounts     as (select account_id, ledger_account from intermediate.int_account_identities),
decisions    as (select * from intermediate.int_decisions),
categories   as (select * from intermediate.int_categories),
conversions  as (select * from intermediate.int_conversions),
settings     as (select * from intermediate.int_settings),
vat_accounts as (select account_id from intermediate.int_vat_accounts),
rests        as (select * from intermediate.int_transit_rests),
split_legs   as (select * from intermediate.int_split_legs),
decided      as (select transaction_id, ledger_account from seeds.transactions),
vat          as (select * from intermediate.int_vat_codes),
details      as (select transaction_id, vat_rate from ledger.transaction_details where vat_rate is not null),

transactions as (
    select
        transactions.transaction_id,
        transactions.account_id,
        transactions.source,
        transactions.booked_on,
        transactions.amount,
        transactions.currency,
        transactions.category,
        transactions.transaction_type,
        transactions.labels,
        bank_vat_code(transactions.category, details.vat_rate)      as bank_vat_code
    from ledger.transactions
    left join details using (transaction_id)
    where transactions.status = 'booked'
),

-- Where one part is too large for the reporting currency, the whole movement has no amount in it
unconverted as (select distinct transaction_id from split_legs where reporting_amount is null),

-- What comes back goes where the payment went: the two are neither income nor expense
originals as (
    select
        transactions.transaction_id,
        coalesce(
            decisions.ledger_account,
            categories.ledger_account,
            case when transactions.amount < 0 then 'Expenses:Uncategorised' else 'Income:Uncategorised' end
        )                                                           as ledger_account,
        decisions.vat_code                                          as chosen_vat_code,
        transactions.bank_vat_code,
        transactions.booked_on                                      as taxed_on
    from transactions
    semi join intermediate.int_reversals as reversals on reversals.reversal_of = transactions.transaction_id
    left join decisions using (transaction_id)
    left join categories
        on categories.source = transactions.source
        and categories.category is not distinct from transactions.category
        and categories.transaction_type is not distinct from transactions.transaction_type
        and categories.labels = transactions.labels
        and categories.direction = case when transactions.amount < 0 then 'out' else 'in' end
),

reversals as (
    select
        reversals.transaction_id,
        reversals.reversal_of,
        originals.ledger_account,
        concat('reversal ', reversals.evidence)                     as decided_by,
        originals.chosen_vat_code,
        originals.bank_vat_code,
        originals.taxed_on
    from intermediate.int_reversals as reversals
    inner join originals on originals.transaction_id = reversals.reversal_of
),

-- A person's word, and a transfer, go before it
known as (
    select
        transaction_id,
        coalesce(decisions.ledger_account, reversals.ledger_account) as ledger_account,
        coalesce(decisions.decided_by, reversals.decided_by)        as decided_by,
        reversals.reversal_of,
        -- the same tax comes back, unless a person says another code
        coalesce(decisions.vat_code, reversals.chosen_vat_code)     as chosen_vat_code,
        reversals.bank_vat_code,
        reversals.taxed_on
    from decisions
    full outer join reversals using (transaction_id)
),

entries as (
    select
        transactions.transaction_id,
        transactions.account_id,
        transactions.booked_on,
        transactions.amount,
        transactions.currency,
        settings.reporting_currency,
        case
            when transactions.currency = settings.reporting_currency then transactions.amount
            when unconverted.transaction_id is null
                then in_reporting(transactions.amount, conversions.of_this, conversions.of_reporting)
        end                                                         as reporting_amount,
        accounts.ledger_account                                     as bank_account,
        coalesce(
            known.ledger_account,
            categories.ledger_account,
            case when transactions.amount < 0 then 'Expenses:Uncategorised' else 'Income:Uncategorised' end
        )                                                           as other_account,
        coalesce(known.decided_by, categories.decided_by, 'nothing') as decided_by,
        known.reversal_of,
        case
            when transactions.account_id not in (select account_id from vat_accounts) then null
            when known.chosen_vat_code is not null then known.chosen_vat_code
            when known.reversal_of is not null then known.bank_vat_code
            else transactions.bank_vat_code
        end                                                         as vat_code,
        known.chosen_vat_code is not null                           as is_chosen,
        coalesce(known.taxed_on, transactions.booked_on)            as taxed_on,
        conversions.of_this,
        conversions.of_reporting
    from transactions
    inner join accounts using (account_id)
    cross join settings
    left join known using (transaction_id)
    left join categories
        on categories.source = transactions.source
        and categories.category is not distinct from transactions.category
        and categories.transaction_type is not distinct from transactions.transaction_type
        and categories.labels = transactions.labels
        and categories.direction = case when transactions.amount < 0 then 'out' else 'in' end
    left join conversions
        on conversions.currency = transactions.currency and conversions.day = transactions.booked_on
    left join unconverted using (transaction_id)
),

-- The rest of a confirmed transfer on which a person decided: it leaves `Assets:Transit` for the account that they named
resolved as (
    select
        rests.transaction_id,
        rests.account_id,
        rests.booked_on,
        decided.ledger_account,
        rests.amount,
        rests.currency,
        settings.reporting_currency,
        case
            when rests.currency = settings.reporting_currency then rests.amount
            else in_reporting(rests.amount, conversions.of_this, conversions.of_reporting)
        end                                                         as reporting_amount
    from rests
    inner join decided using (transaction_id)
    cross join settings
    left join conversions on conversions.currency = rests.currency and conversions.day = rests.booked_on
),

-- Most movements have no code: only the others, and all splits, are looked at for a tax
gross as (
    select
        transaction_id,
        cast(2 as bigint)                                           as leg,
        account_id,
        booked_on,
        other_account                                               as ledger_account,
        -amount                                                     as amount,
        currency,
        -reporting_amount                                           as reporting_amount,
        reporting_currency,
        decided_by,
        reversal_of,
        vat_code,
        is_chosen,
        taxed_on,
        of_this,
        of_reporting
    from entries
    anti join split_legs using (transaction_id)
    where vat_code is not null
    union all
    select
        split_legs.transaction_id,
        split_legs.leg,
        split_legs.account_id,
        split_legs.booked_on,
        split_legs.ledger_account,
        split_legs.amount,
        split_legs.currency,
        split_legs.reporting_amount,
        split_legs.reporting_currency,
        split_legs.decided_by,
        split_legs.reversal_of,
        case
            when split_legs.account_id in (select account_id from vat_accounts)
                then coalesce(split_legs.chosen_vat_code, split_legs.bank_vat_code)
        end                                                         as vat_code,
        split_legs.chosen_vat_code is not null                      as is_chosen,
        split_legs.taxed_on,
        split_legs.of_this,
        split_legs.of_reporting
    from split_legs
),

-- What the account says goes before the sign: a refund on an account of expenses gives input tax back. On accounts that are neither
-- income nor expense, and where nobody knows what it was, the bank's category is no tax; an asset has one where a person names it
sided as (
    select
        *,
        case
            when vat_code is null or ledger_account in ('Income:Uncategorised', 'Expenses:Uncategorised', 'Assets:Transit') then null
            when starts_with(ledger_account, 'Income:') then 'sale'
            when starts_with(ledger_account, 'Expenses:') or (is_chosen and starts_with(ledger_account, 'Assets:')) then 'purchase'
        end                                                         as side
    from gross
),

taxed as (
    select
        sided.* exclude (vat_code),
        case when sided.side is not null and sided.vat_code in (select vat_code from vat) then sided.vat_code end as vat_code,
        vat.rate                                                    as vat_percent,
        vat.output_account,
        vat.input_account,
        vat.is_on_top,
        in_proportion(amount, vat.numerator, vat.denominator)       as tax,
        case
            when currency = reporting_currency then tax
            when reporting_amount is not null then in_reporting(tax, of_this, of_reporting)
        end                                                         as reporting_tax
    from sided
    left join vat
        on vat.vat_code = sided.vat_code and vat.side = sided.side and sided.taxed_on between vat.valid_from and vat.valid_to
        and sided.ledger_account is distinct from vat.input_account
),

final as (
    select
        transaction_id,
        cast(1 as bigint)                                           as leg,
        account_id,
        booked_on,
        bank_account                                                as ledger_account,
        amount,
        currency,
        reporting_amount,
        reporting_currency,
        'bank'                                                      as decided_by,
        reversal_of,
        cast(null as varchar)                                       as vat_code,
        cast(null as decimal(18, 2))                                as vat_percent
    from entries
    union all
    select
        transaction_id,
        cast(2 as bigint)                                           as leg,
        account_id,
        booked_on,
        other_account                                               as ledger_account,
        -amount                                                     as amount,
        currency,
        -reporting_amount                                           as reporting_amount,
        reporting_currency,
        decided_by,
        reversal_of,
        cast(null as varchar)                                       as vat_code,
        cast(null as decimal(18, 2))                                as vat_percent
    from entries
    anti join split_legs using (transaction_id)
    where vat_code is null
    union all
    -- the net amount is what the tax leaves, so no cent is lost
    select
        transaction_id,
        leg,
        account_id,
        booked_on,
        ledger_account,
        case when tax is null or is_on_top then amount else cast(amount - tax as decimal(18, 2)) end as amount,
        currency,
        case
            when tax is null or is_on_top then reporting_amount
            else cast(reporting_amount - reporting_tax as decimal(18, 2))
        end                                                         as reporting_amount,
        reporting_currency,
        decided_by,
        reversal_of,
        vat_code,
        vat_percent
    from taxed
    union all
    select
        transaction_id,
        leg + 1000                                                  as leg,
        account_id,
        booked_on,
        coalesce(output_account, input_account)                     as ledger_account,
        case when is_on_top then -tax else tax end                  as amount,
        currency,
        case when is_on_top then -reporting_tax else reporting_tax end as reporting_amount,
        reporting_currency,
        concat('vat ', vat_code)                                    as decided_by,
        reversal_of,
        vat_code,
        vat_percent
    from taxed
    where tax <> 0
    union all
    select
        transaction_id,
        leg + 2000                                                  as leg,
        account_id,
        booked_on,
        input_account                                               as ledger_account,
        tax                                                         as amount,
        currency,
        reporting_tax                                               as reporting_amount,
        reporting_currency,
        concat('vat ', vat_code)                                    as decided_by,
        reversal_of,
        vat_code,
        vat_percent
    from taxed
    where tax <> 0 and is_on_top
    union all
    select
        transaction_id,
        cast(unnest([3, 4]) as bigint)                              as leg,
        account_id,
        booked_on,
        unnest(['Assets:Transit', ledger_account])                  as ledger_account,
        unnest([amount, -amount])                                   as amount,
        currency,
        unnest([reporting_amount, -reporting_amount])               as reporting_amount,
        reporting_currency,
        'decision'                                                  as decided_by,
        cast(null as varchar)                                       as reversal_of,
        cast(null as varchar)                                       as vat_code,
        cast(null as decimal(18, 2))                                as vat_percent
    from resolved
)

select * from final
order by account_id, booked_on, transaction_id, leg
