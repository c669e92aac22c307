-- One row per account, month, kind of income and currency: the income of the month, without own transfers, refunds and what was given back.
-- grain:  account_id, month, income_kind, currency
-- checks: not_null(transactions, unproven_transactions), relationship(account_id, accounts), joins(month, calendar.day),
--         accepted(income_kind, 'salary', 'pension', 'benefits', 'other_income')

with

kinds as (select transaction_id, payment_kind from intermediate.int_payment_kinds),

-- By day, so that what proves a day is looked up once a day
by_day as (
    select
        versions.account_id,
        versions.booked_on                                          as day,
        versions.currency,
        lending_figure(kinds.payment_kind, false)                   as income_kind,
        sum(versions.amount)                                        as amount,
        count(*)                                                    as transactions
    from intermediate.int_transaction_versions as versions
    left join kinds using (transaction_id)
    where versions.valid_to is null and versions.status = 'booked' and versions.amount > 0
        and versions.transaction_id not in (select unnest([transaction_id, reversal_of]) from intermediate.int_reversals)
    group by all
),

final as (
    select
        by_day.account_id,
        cast(date_trunc('month', by_day.day) as date)               as month,
        by_day.income_kind,
        by_day.currency,
        in_cents(sum(by_day.amount))                                as amount,
        cast(sum(by_day.transactions) as bigint)                    as transactions,
        in_cents(coalesce(sum(by_day.amount) filter (where not is_proven), 0)) as unproven_amount,
        cast(coalesce(sum(by_day.transactions) filter (where not is_proven), 0) as bigint) as unproven_transactions
    from by_day
    left join intermediate.int_day_reconciliation as proofs using (account_id, day)
    cross join lateral (select coalesce(proofs.proof in ('chain', 'reported'), false) as is_proven)
    where by_day.income_kind in ('salary', 'pension', 'benefits', 'other_income')
    group by by_day.account_id, month, by_day.income_kind, by_day.currency
)

select * from final
order by account_id, month, income_kind, currency
