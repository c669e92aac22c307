-- One row per code of value added tax, side and period of the seed `vat`: its rate, its boxes, its accounts, and the tax as a fraction.
-- grain:  vat_line
-- checks: not_null(vat_code, side, valid_from, valid_to, is_on_top), accepted(side, 'sale', 'purchase')

with

codes as (
    select
        line                                                        as vat_line,
        vat_code,
        side,
        cast(rate as decimal(18, 2))                                as rate,
        coalesce(cast(valid_from as date), date '0001-01-01')       as valid_from,
        coalesce(cast(valid_to as date), date '9999-12-31')         as valid_to,
        net_box,
        output_box,
        input_box,
        output_account,
        input_account,
        -- the buyer owes the tax of what they paid, and deducts it at once: nothing of it is in the amount
        output_account is not null and input_account is not null    as is_on_top,
        cast(cast(rate as decimal(18, 2)) * 100 as bigint)          as hundredths
    from seeds.vat
),

final as (
    select
        * exclude (hundredths),
        hundredths                                                  as numerator,
        case when is_on_top then 10_000 else 10_000 + hundredths end as denominator
    from codes
)

select * from final
