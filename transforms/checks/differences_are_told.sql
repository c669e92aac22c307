-- A day differs without an amount, a day that reconciles has one, or `balances_daily` and `coverage` disagree.
select account_id
from ledger.coverage
group by account_id
having bool_or(proof = 'differs') <> bool_or(difference_amount is not null)
    or bool_or(difference_amount is not null and proof <> 'differs')
    or bool_or(differs_since > day)
union all
select account_id
from ledger.coverage
where (status in ('seen', 'unfinished') and (import_id is null or seen_at is null)) or (status = 'unseen' and import_id is not null)
union all
select account_id
from ledger.coverage
inner join ledger.balances_daily as balances using (account_id, day)
where balances.difference_amount is distinct from coverage.difference_amount
    or (balances.proof <> 'unknown' and balances.proof <> coverage.proof)
