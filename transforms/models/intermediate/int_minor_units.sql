-- One row per currency whose smallest unit is not a hundredth (ISO 4217): the value of one such unit.
-- grain:  currency
-- checks: accepted(exponent, 0, 3, 4)

with

-- A fourth decimal does not fit the ledger's DECIMAL(18, 3): such an amount is left out rather than rounded
exponents as (
    select
        unnest(string_split(currencies, ' '))                       as currency,
        exponent,
        worth
    from (
        values
            ('BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF', 0, cast(1 as decimal(4, 3))),
            ('BHD IQD JOD KWD LYD OMR TND', 3, 0.001),
            ('CLF UYW', 4, null)
    ) as iso_4217 (currencies, exponent, worth)
),

final as (select currency, exponent, worth from exponents)

select * from final
