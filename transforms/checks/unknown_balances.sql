-- A balance is missing without being called unknown, or is called unknown and is there.
select account_id, day
from ledger.balances_daily
where (proof = 'unknown') is distinct from (closing_balance is null)
    or (proof = 'unknown') is distinct from (opening_balance is null)
