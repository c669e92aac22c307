-- The lines of income and expenses of a business account are, over all years and sections, more or less than what its movements moved.
with

moved as (
    select account_id, currency, sum(amount) as amount
    from ledger.transactions
    where status = 'booked'
    group by account_id, currency
),

lines as (select account_id, currency, sum(amount) as amount from ledger.euer_lines group by account_id, currency)

select account_id
from lines
left join moved using (account_id, currency)
where lines.amount is distinct from moved.amount
union all
select account_id from ledger.postings where vat_code is not null and account_id not in (select account_id from ledger.euer_lines)
