-- One row per day and currency, up to the last known day: the balances of all accounts in it. Currencies are only added up where each has a rate.
-- grain:  day, currency
-- checks: not_null(balance, accounts, accounts_unknown, accounts_not_reconciled, reporting_currency), joins(day, calendar)

with

balances    as (select account_id, day, currency, closing_balance, proof from ledger.balances_daily where currency is not null),
accounts    as (select account_id, gone_at from ledger.accounts),
known       as (select known_through from intermediate.int_known_through),
conversions as (select * from intermediate.int_conversions),
settings    as (select reporting_currency from intermediate.int_settings),

-- Rows dated ahead have days to come
until_known as (
    select balances.*
    from balances
    cross join known
    where balances.day <= known.known_through
),

last_days as (
    select
        account_id,
        any_value(currency)                                         as currency,
        max(day)                                                    as day,
        max_by(closing_balance, day)                                as closing_balance
    from until_known
    group by account_id
),

-- An account that was not read since keeps its last balance, and is not reconciled on those days
carried as (
    select
        last_days.account_id,
        cast(unnest(generate_series(
            cast(last_days.day + 1 as timestamp), cast(known.known_through as timestamp), interval 1 day
        )) as date)                                                 as day,
        last_days.currency,
        last_days.closing_balance,
        'carried'                                                   as proof
    from last_days
    inner join accounts using (account_id)
    cross join known
    where accounts.gone_at is null and last_days.day < known.known_through
),

every_day as (
    select account_id, day, currency, closing_balance, proof from until_known
    union all
    select account_id, day, currency, closing_balance, proof from carried
),

summed as (
    select
        day,
        currency,
        sum(closing_balance)                                        as whole_sum,
        -- a sum that does not fit is unknown, not rounded
        case when abs(whole_sum) < 10_000_000_000_000_000 then cast(whole_sum as decimal(18, 2)) end as balance,
        count(closing_balance)                                      as accounts,
        count(*) filter (where closing_balance is null)             as accounts_unknown,
        count(*) filter (where closing_balance is not null and proof not in ('chain', 'reported')) as accounts_not_reconciled
    from every_day
    group by day, currency
    having whole_sum is not null
),

converted as (
    select
        summed.* exclude (whole_sum),
        settings.reporting_currency,
        case
            when summed.currency = settings.reporting_currency then summed.balance
            else in_reporting(summed.balance, conversions.of_this, conversions.of_reporting)
        end                                                         as reporting_balance
    from summed
    cross join settings
    left join conversions on conversions.currency = summed.currency and conversions.day = summed.day
),

totals as (
    select
        *,
        sum(reporting_balance) over (partition by day)              as whole_sum,
        -- one rate missing, or one sum that does not fit, and the sum would be too small without saying so
        case
            when count(reporting_balance) over (partition by day) = count(*) over (partition by day)
                and abs(whole_sum) < 10_000_000_000_000_000
                then cast(whole_sum as decimal(18, 2))
        end                                                         as total_reporting_balance
    from converted
),

final as (select * exclude (whole_sum) from totals where balance is not null)

select * from final
order by day, currency
