-- An account's daily balance on the day of its reported balance is not the balance that the bank reports, one of the two is missing, or a day ends with another balance than the bank's own.
with

ours as (
    -- on the last day up to it; where the account's every day lies ahead of it, what was there before
    select
        account_id,
        coalesce(
            max_by(row(closing_balance), day) filter (where balance_on is null or day <= balance_on),
            min_by(row(opening_balance), day)
        )[1] as balance,
        max_by(proof, day) as proof,
        count(bank_balance) > 0 as has_running_balances
    from ledger.balances_daily
    left join (select account_id, balance_on from ledger.accounts) using (account_id)
    group by account_id
),

-- The day ends with what a file adds to a day that the bank showed before it was over
added as (
    select transactions.account_id, sum(transactions.amount) as amount
    from ledger.transactions
    inner join ledger.accounts
        on accounts.account_id = transactions.account_id
        and accounts.balance_on = transactions.booked_on
        and accounts.currency = transactions.currency
    where transactions.source = 'file' and accounts.source <> 'file'
    group by transactions.account_id
),

banks as (
    select account_id, cast(balance + coalesce(added.amount, 0) as decimal(18, 2)) as balance
    from ledger.accounts
    left join added using (account_id)
    where first_booked_on is not null or account_id in (select account_id from ours)
)

select account_id
from banks
full outer join ours using (account_id)
where ours.proof is distinct from 'unknown'
    and ours.balance is distinct from banks.balance
    -- a bank that gives running balances may report none for the account
    and not coalesce(ours.has_running_balances and banks.account_id is not null and banks.balance is null, false)
union all
select account_id from ledger.balances_daily where bank_balance <> closing_balance
