-- Days are said to differ and no amount is told, or an amount is told of a day that is said to be right.
select account_id
from ledger.coverage
group by account_id
having bool_or(proof = 'differs') <> bool_or(difference_amount is not null)
    or bool_or(difference_amount is not null and proof <> 'differs')
    or bool_or(differs_since > day)
union all
select account_id
from ledger.coverage
where status = 'seen' and (import_id is null or seen_at is null) or status <> 'seen' and status <> 'hole' and import_id is not null
