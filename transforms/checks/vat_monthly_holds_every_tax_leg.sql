-- The months of value added tax of an account are more or less than its tax legs and the net legs with a code.
with

legs as (
    select
        account_id,
        currency,
        coalesce(-sum(amount) filter (where leg > 1000 and starts_with(ledger_account, 'Liabilities:')), 0) as output_tax,
        coalesce(sum(amount) filter (where leg > 1000 and starts_with(ledger_account, 'Assets:')), 0) as input_tax,
        coalesce(sum(amount) filter (where leg < 1000 and not starts_with(ledger_account, 'Income:')), 0) as purchases,
        coalesce(-sum(amount) filter (where leg < 1000 and starts_with(ledger_account, 'Income:')), 0) as sales,
        count(*) as movements
    from ledger.postings
    where vat_code is not null
    group by account_id, currency
),

months as (
    select
        account_id,
        currency,
        coalesce(sum(amount) filter (where figure = 'output_tax'), 0) as output_tax,
        coalesce(sum(amount) filter (where figure = 'input_tax'), 0) as input_tax,
        coalesce(sum(amount) filter (where figure in ('net', 'gross') and side = 'purchase'), 0) as purchases,
        coalesce(sum(amount) filter (where figure in ('net', 'gross') and side = 'sale'), 0) as sales,
        sum(movements) as movements
    from ledger.vat_monthly
    where vat_code is not null
    group by account_id, currency
)

select account_id
from legs
full outer join months using (account_id, currency)
where legs.output_tax is distinct from months.output_tax
    or legs.input_tax is distinct from months.input_tax
    or legs.purchases is distinct from months.purchases
    or legs.sales is distinct from months.sales
    or legs.movements is distinct from months.movements
