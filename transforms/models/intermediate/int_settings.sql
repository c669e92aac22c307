-- One row: the settings of the seed `settings`, and the default of each that the seed does not name.
-- grain:  reporting_currency
-- checks: not_null(forecast_days, fiscal_year_start_month, has_vat)

with

settings as (select * from seeds.settings),

final as (
    select
        coalesce(max(value) filter (where name = 'reporting_currency'), 'EUR') as reporting_currency,
        cast(coalesce(max(value) filter (where name = 'forecast_days'), '90') as integer) as forecast_days,
        cast(
            coalesce(max(value) filter (where name = 'fiscal_year_start_month'), '1') as integer
        )                                                           as fiscal_year_start_month,
        coalesce(max(value) filter (where name = 'vat'), 'on') = 'on' as has_vat
    from settings
)

select * from final
