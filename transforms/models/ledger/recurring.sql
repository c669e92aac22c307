-- One row per recurring payment: at least three payments to or from one party, in equal intervals.
-- grain:  recurring_id
-- checks: not_null(account_id, currency, typical_amount, amount_drift, first_on, last_on, payments, next_on, is_ended),
--         accepted(cadence, 'weekly', 'two-weekly', 'monthly', 'quarterly', 'half-yearly', 'yearly'), accepted(direction, 'in', 'out'),
--         accepted(rule, 'similar amounts', 'same amount'), relationship(account_id, accounts), joins(counterparty_id, counterparties),
--         joins(first_on, calendar.day), joins(last_on, calendar.day), joins(last_transaction_id, transactions.transaction_id)

with

hits as (
    select
        *,
        row_number() over (partition by recurring_id order by nth desc) as nth_from_last
    from intermediate.int_recurring_hits
),

kinds as (
    select recurring_id, payment_kind, count(*) as payments
    from hits
    inner join intermediate.int_payment_kinds using (transaction_id)
    group by recurring_id, payment_kind
),

usual_kinds as (
    select recurring_id, payment_kind, concat(payments, ' payments') as kind_evidence
    from kinds
    qualify row_number() over (partition by recurring_id order by payments desc, payment_kind) = 1
),

series as (
    select
        recurring_id,
        any_value(account_id)                                       as account_id,
        any_value(direction)                                        as direction,
        any_value(currency)                                         as currency,
        any_value(counterparty_id)                                  as counterparty_id,
        any_value(purpose)                                          as purpose,
        any_value(cadence)                                          as cadence,
        any_value(rule)                                             as rule,
        cast(any_value(tolerance) as bigint)                        as tolerance_days,
        quantile_disc(amount, 0.5) filter (where nth_from_last <= 6) as typical_amount,
        quantile_disc(amount, 0.5) filter (where nth <= 6)          as first_amount,
        min(booked_on)                                              as first_on,
        max(booked_on)                                              as last_on,
        count(*)                                                    as payments,
        max_by(transaction_id, nth)                                 as last_transaction_id,
        max_by(next_on, nth)                                        as next_on
    from hits
    group by recurring_id
),

-- What did not come within the tolerance has ended; one payment later it has not
final as (
    select
        series.recurring_id,
        series.account_id,
        series.direction,
        series.counterparty_id,
        series.purpose,
        series.cadence,
        series.tolerance_days,
        series.typical_amount,
        cast(series.typical_amount - series.first_amount as decimal(18, 2)) as amount_drift,
        series.currency,
        series.first_on,
        series.last_on,
        series.payments,
        series.last_transaction_id,
        series.next_on,
        coalesce(accounts.last_completed_on > series.next_on + cast(series.tolerance_days as integer), false) as is_ended,
        usual_kinds.payment_kind,
        usual_kinds.kind_evidence,
        series.rule
    from series
    inner join intermediate.int_accounts as accounts using (account_id)
    left join usual_kinds using (recurring_id)
)

select * from final
order by account_id, recurring_id
