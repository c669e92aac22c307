-- One row per day, from the first year of the ledger to a year after the last known day and beyond every expected payment.
-- grain:  day
-- checks: not_null(year, quarter, month, iso_year, iso_week, week, day_of_week, is_weekend, is_target_working_day, next_working_day),
--         not_null(fiscal_year, fiscal_quarter)

with

settings as (select * from intermediate.int_settings),
holidays as (select cast(day as date) as day, name from seeds.target_holidays),

spans as (
    select
        least(min(transaction_on), min(booked_on))                  as first_on,
        greatest(max(transaction_on), max(booked_on))               as last_on
    from ledger.transaction_history
    union all
    select min(day) as first_on, max(day) as last_on from intermediate.int_account_days
    union all
    select min(due_on) as first_on, max(due_on) as last_on from intermediate.int_scheduled_payments
    union all
    select known_through as first_on, known_through + greatest(366, forecast_days) as last_on
    from intermediate.int_known_through
    cross join settings
),

years as (
    select date_trunc('year', min(first_on)) as first_on, date_trunc('year', max(last_on)) + interval 1 year as last_on
    from spans
),

-- Two weeks more than are shown: there is a working day in them
days as (
    select cast(unnest(generate_series(cast(first_on as timestamp), cast(last_on as timestamp) + interval 14 day, interval 1 day)) as date) as day
    from years
),

named as (
    select
        days.day,
        isodow(days.day)                                            as day_of_week,
        holidays.name                                               as holiday,
        -- the year that begins with the fiscal year's first month
        year(days.day - to_months(settings.fiscal_year_start_month - 1)) as fiscal_begins,
        settings.fiscal_year_start_month,
        month(days.day - to_months(settings.fiscal_year_start_month - 1)) as fiscal_month
    from days
    cross join settings
    left join holidays using (day)
),

worked as (
    select
        *,
        day_of_week < 6 and holiday is null                         as is_target_working_day,
        min(case when day_of_week < 6 and holiday is null then day end) over (
            order by day rows between current row and unbounded following
        )                                                           as next_working_day
    from named
),

final as (
    select
        day,
        year(day)                                  as year,
        concat(year(day), '-Q', quarter(day))                       as quarter,
        cast(date_trunc('month', day) as date)                      as month,
        isoyear(day)                               as iso_year,
        week(day)                                  as iso_week,
        concat(isoyear(day), '-W', lpad(cast(week(day) as varchar), 2, '0')) as week,
        day_of_week                                as day_of_week,
        day_of_week >= 6                                            as is_weekend,
        holiday,
        is_target_working_day,
        next_working_day,
        case
            when fiscal_year_start_month = 1 then cast(fiscal_begins as varchar)
            else concat(fiscal_begins, '/', lpad(cast((fiscal_begins + 1) % 100 as varchar), 2, '0'))
        end                                                         as fiscal_year,
        concat(fiscal_year, '-Q', (fiscal_month + 2) // 3)          as fiscal_quarter
    from worked
    cross join years
    where day < years.last_on
)

select * from final
order by day
