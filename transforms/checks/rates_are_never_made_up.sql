-- An amount is converted though no rate was published in the week before, or an amount in the reporting currency is changed.
with

days as (
    select distinct currency, reporting_currency, booked_on
    from ledger.postings
    where currency <> reporting_currency and reporting_amount is not null
),

wanted as (
    select booked_on, currency from days where currency <> 'EUR'
    union
    select booked_on, reporting_currency from days where reporting_currency <> 'EUR'
)

select wanted.currency, wanted.booked_on
from wanted
asof left join ledger.exchange_rates on exchange_rates.currency = wanted.currency and exchange_rates.day <= wanted.booked_on
where exchange_rates.day is null or wanted.booked_on - exchange_rates.day > 7
union all
select currency, booked_on
from ledger.postings
where currency = reporting_currency and reporting_amount is distinct from amount
