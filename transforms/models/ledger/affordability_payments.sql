-- One row per booked transaction of the months that `affordability` looks at, with the figure that it counts in, and whether its day is proven.
-- grain:  transaction_id
-- checks: not_null(account_id, booked_on, amount, figure, is_income, is_regular_income, is_fixed_cost, is_spending, is_proven), relationship(account_id, accounts), joins(transaction_id, transactions),
--         joins(booked_on, calendar.day),
--         accepted(figure, 'salary', 'pension', 'benefits', 'recurring_income', 'other_income', 'rent', 'utilities', 'insurance', 'subscription', 'loan_instalment',
--         'gambling', 'cash', 'tax', 'other_spending', 'own_transfer', 'refund', 'reversed', 'returned_debit', 'returned_payment', 'not_income')

with

days      as (select * from intermediate.int_affordability_days),
kinds     as (select * from intermediate.int_payment_kinds),
reversals as (select * from intermediate.int_reversals),

-- Money in that comes again is regular. One payment of a half-yearly or yearly series would count too much in six months
regular as (
    select transaction_id, concat('series ', recurring_id, ': ', cadence, ', ', rule) as evidence
    from intermediate.int_recurring_hits
    where direction = 'in' and step_months <= 3
),

booked as (
    select
        transaction_id,
        account_id,
        booked_on,
        currency,
        amount,
        -- how banks call a direct debit, its return, or a payment that lacked money, in German, Polish, Czech and English
        case when amount > 0 then regexp_matches(
            lower(concat_ws(' ', transaction_type, description, array_to_string(labels, ' '))),
            'lastschrift|direct.?debit|returned debit|debit return|insufficient funds|mangels deckung|polecenie zap|inkas'
        ) end                                                       as names_a_debit
    from intermediate.int_transaction_versions
    where valid_to is null and status = 'booked'
        and booked_on between (select regular_from from days) and (select as_of from days)
),

figured as (
    select
        booked.transaction_id,
        booked.account_id,
        booked.booked_on,
        booked.currency,
        booked.amount,
        case
            when reversals.transaction_id is not null and booked.names_a_debit then 'returned_debit'
            when reversals.transaction_id is not null then 'returned_payment'
            when originals.reversal_of is not null then 'reversed'
            else lending_figure(kinds.payment_kind, booked.amount < 0)
        end                                                         as basic_figure,
        coalesce('reversal ' || reversals.evidence, kinds.evidence) as basic_evidence,
        case when basic_figure = 'other_income' then regular.evidence end as series,
        coalesce(proofs.proof in ('chain', 'reported'), false)      as is_proven
    from booked
    left join kinds using (transaction_id)
    left join reversals using (transaction_id)
    left join reversals as originals on originals.reversal_of = booked.transaction_id
    left join regular using (transaction_id)
    left join intermediate.int_day_reconciliation as proofs
        on proofs.account_id = booked.account_id and proofs.day = booked.booked_on
),

final as (
    select
        transaction_id,
        account_id,
        booked_on,
        currency,
        amount,
        case when series is null then basic_figure else 'recurring_income' end as figure,
        case when basic_evidence is null then series else concat_ws('; ', basic_evidence, series) end as evidence,
        figure in ('salary', 'pension', 'benefits', 'recurring_income') as is_regular_income,
        is_regular_income or figure = 'other_income'                as is_income,
        figure in ('rent', 'utilities', 'insurance', 'subscription') as is_fixed_cost,
        is_fixed_cost or figure in ('loan_instalment', 'gambling', 'cash', 'tax', 'other_spending') as is_spending,
        is_proven
    from figured
)

select * from final
order by account_id, booked_on, transaction_id
