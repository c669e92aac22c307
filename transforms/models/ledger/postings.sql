-- One row per leg of the double entry of a booked transaction: the bank account, and where the money came from or went.
-- grain:  transaction_id, leg
-- checks: not_null(account_id, booked_on, ledger_account, amount, currency, decided_by),
--         relationship(account_id, accounts), relationship(ledger_account, ledger_accounts),
--         joins(transaction_id, transactions), joins(booked_on, calendar.day)

with

transactions as (select * from ledger.transactions where status = 'booked'),
accounts     as (select account_id, ledger_account from intermediate.int_account_identities),
decisions    as (select * from intermediate.int_decisions),
categories   as (select * from intermediate.int_categories),
conversions  as (select * from intermediate.int_conversions),
settings     as (select * from intermediate.int_settings),
rests        as (select * from intermediate.int_transit_rests),
split_legs   as (select * from intermediate.int_split_legs),
decided      as (select transaction_id, ledger_account from seeds.transactions),

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
        )                                                           as ledger_account
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
        concat('reversal ', reversals.evidence)                     as decided_by
    from intermediate.int_reversals as reversals
    inner join originals on originals.transaction_id = reversals.reversal_of
),

-- A person's word, and a transfer, go before it
known as (
    select
        transaction_id,
        coalesce(decisions.ledger_account, reversals.ledger_account) as ledger_account,
        coalesce(decisions.decided_by, reversals.decided_by)        as decided_by,
        reversals.reversal_of
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
        known.reversal_of
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
        reversal_of
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
        reversal_of
    from entries
    anti join split_legs using (transaction_id)
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
        cast(null as varchar)                                       as reversal_of
    from resolved
    union all
    select
        transaction_id,
        leg,
        account_id,
        booked_on,
        ledger_account,
        amount,
        currency,
        reporting_amount,
        reporting_currency,
        decided_by,
        reversal_of
    from split_legs
)

select * from final
order by account_id, booked_on, transaction_id, leg
