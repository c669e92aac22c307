-- A booked transaction does not have two legs that sum to zero, its own amount on the bank account and the opposite elsewhere, or the legs that a decision added do not sum to zero.
with

banks as (
    select
        account_id,
        currency,
        count(*) as transactions,
        sum(hash(transaction_id, booked_on, amount)) as amounts,
        sum(hash(transaction_id, booked_on, -amount)) as opposites
    from ledger.transactions
    where status = 'booked'
    group by all
),

ours as (
    select
        account_id,
        currency,
        count(*) filter (where leg = 1) as bank_legs,
        count(*) filter (where leg = 2) as other_legs,
        sum(hash(transaction_id, booked_on, amount)) filter (where leg = 1) as amounts,
        sum(hash(transaction_id, booked_on, amount)) filter (where leg = 2) as opposites,
        sum(amount) as rest,
        sum(reporting_amount) as reporting_rest
    from ledger.postings
    group by all
)

select account_id, currency
from banks
full outer join ours using (account_id, currency)
where banks.transactions is distinct from ours.bank_legs
    or banks.transactions is distinct from ours.other_legs
    or banks.amounts is distinct from ours.amounts
    or banks.opposites is distinct from ours.opposites
    or ours.rest <> 0
    or ours.reporting_rest <> 0
