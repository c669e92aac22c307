-- A day of `balances_daily` has no row in `coverage`, or the other way round.
with

days as (select account_id, count(*) as days, sum(hash(day)) as content from ledger.balances_daily group by account_id),
covered as (select account_id, count(*) as days, sum(hash(day)) as content from ledger.coverage group by account_id)

select account_id
from days
full outer join covered using (account_id)
where days.days is distinct from covered.days or days.content is distinct from covered.content
