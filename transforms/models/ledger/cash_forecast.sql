-- One row per account and future day: its balance if only the expected payments move it.
-- grain:  account_id, day
-- checks: not_null(currency, opening_balance, expected_in, expected_out, inferred_in, inferred_out, closing_balance), relationship(account_id, accounts),
--         joins(day, calendar)

with

accounts as (
    select account_id, currency, accounts.balance, last_completed_on, balance_on
    from intermediate.int_accounts as accounts
    inner join intermediate.int_balance_days using (account_id)
    where accounts.balance is not null and currency is not null and last_completed_on is not null and gone_at is null
),

settings as (select * from intermediate.int_settings),

-- What was due and is not there yet is expected on the next day
expected as (
    select
        account_id,
        greatest(due_on, last_completed_on + 1)                     as day,
        expected_payments.currency,
        expected_payments.amount,
        expected_payments.order_kind = 'inferred'                   as is_inferred
    from ledger.expected_payments
    inner join accounts using (account_id)
    where status in ('expected', 'due')
    union all
    -- what the bank has booked ahead and its balance does not hold yet
    select
        account_id,
        greatest(booked_on, last_completed_on + 1)                  as day,
        transactions.currency,
        transactions.amount,
        false                                                       as is_inferred
    from intermediate.int_transaction_versions as transactions
    inner join accounts using (account_id)
    where transactions.valid_to is null and transactions.status = 'booked' and transactions.booked_on > accounts.balance_on
),

days as (
    select
        account_id,
        accounts.currency,
        balance,
        cast(unnest(generate_series(
            cast(last_completed_on + 1 as timestamp),
            cast(last_completed_on + forecast_days as timestamp),
            interval 1 day
        )) as date)                                                 as day
    from accounts
    cross join settings
),

moved as (
    select
        days.account_id,
        days.day,
        days.currency,
        days.balance,
        coalesce(sum(expected.amount) filter (where expected.amount > 0), 0) as expected_in,
        coalesce(sum(expected.amount) filter (where expected.amount < 0), 0) as expected_out,
        coalesce(sum(expected.amount) filter (where expected.amount > 0 and is_inferred), 0) as inferred_in,
        coalesce(sum(expected.amount) filter (where expected.amount < 0 and is_inferred), 0) as inferred_out
    from days
    left join expected using (account_id, day, currency)
    group by days.account_id, days.day, days.currency, days.balance
),

summed as (
    select *, balance + sum(expected_in + expected_out) over (partition by account_id order by day) as closing from moved
),

final as (
    select
        account_id,
        day,
        currency,
        cast(closing - expected_in - expected_out as decimal(18, 2)) as opening_balance,
        cast(expected_in as decimal(18, 2))                         as expected_in,
        cast(expected_out as decimal(18, 2))                        as expected_out,
        cast(inferred_in as decimal(18, 2))                         as inferred_in,
        cast(inferred_out as decimal(18, 2))                        as inferred_out,
        cast(closing as decimal(18, 2))                             as closing_balance
    from summed
)

select * from final
order by account_id, day
