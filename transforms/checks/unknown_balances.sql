-- A balance is missing and its proof is not `unknown`, or it is there and its proof is `unknown`.
select account_id, day
from ledger.balances_daily
where (proof = 'unknown') is distinct from (closing_balance is null)
    or (proof = 'unknown') is distinct from (opening_balance is null)
