-- One row per account currency and day for which its rate and the reporting currency's are known: millionths of each for one euro.
-- grain:  currency, day
-- checks: not_null(of_this, of_reporting)

with

rates    as (select * from staging.stg_rates__reference_rates),
settings as (select * from intermediate.int_settings),

used as (
    select distinct currency
    from intermediate.int_transaction_versions
    where valid_to is null
    union
    select currency from intermediate.int_account_identities where currency is not null
    union
    select reporting_currency from settings
),

days as (select distinct day from rates),

-- One euro is one euro: that is what the rates are counted in, and no guess
published as (
    select currency, day, cast(rate * 1_000_000 as bigint) as millionths from rates semi join used using (currency)
    union all
    select 'EUR' as currency, day, 1_000_000 as millionths from days
),

-- A rate holds until the next one, over weekends and holidays, but no longer than a week
held as (
    select
        currency,
        millionths,
        cast(unnest(generate_series(
            cast(day as timestamp),
            cast(least(coalesce(lead(day) over (partition by currency order by day) - 1, day + 7), day + 7) as timestamp),
            interval 1 day
        )) as date)                                                 as day
    from published
),

final as (
    select
        this.currency,
        this.day,
        this.millionths                                             as of_this,
        reporting.millionths                                        as of_reporting,
        settings.reporting_currency
    from held as this
    inner join held as reporting using (day)
    inner join settings on settings.reporting_currency = reporting.currency
    where this.currency <> settings.reporting_currency and this.millionths > 0
)

select * from final
