-- An account's last daily balance is not the balance that the bank reports, or one of the two is missing.
with

banks as (select account_id, balance from ledger.accounts where first_booked_on is not null),

ours as (
    select account_id, closing_balance as balance, proof
    from ledger.balances_daily
    qualify row_number() over (partition by account_id order by day desc) = 1
)

select account_id
from banks
full outer join ours using (account_id)
where ours.proof is distinct from 'unknown' and ours.balance is distinct from banks.balance
