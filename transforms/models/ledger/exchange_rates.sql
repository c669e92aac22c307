-- One row per currency and day: the reference rate that was loaded, as it was published.
-- grain:  currency, day
-- checks: not_null(rate, publisher)

with

rates as (select * from staging.stg_rates__reference_rates),

final as (select currency, day, rate, publisher from rates)

select * from final
order by currency, day
