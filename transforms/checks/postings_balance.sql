-- A booked transaction does not have its own amount on the bank account and the opposite elsewhere (one leg or one a split, with the tax in each), or the legs that a decision added do not sum to zero.
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

-- the legs of splits and of tax together are what leg 2 is without them
divided as (
    select account_id, currency, count(*) as transactions, sum(hash(transaction_id, booked_on, amount)) as opposites
    from (
        select account_id, currency, transaction_id, booked_on, cast(sum(amount) as decimal(18, 2)) as amount
        from ledger.postings
        where leg > 4 or (leg = 2 and vat_code is not null)
        group by all
    )
    group by all
),

ours as (
    select
        account_id,
        currency,
        count(*) filter (where leg = 1) as bank_legs,
        count(*) filter (where leg = 2 and vat_code is null) as other_legs,
        count(*) filter (where leg < 1) as unknown_legs,
        sum(hash(transaction_id, booked_on, amount)) filter (where leg = 1) as amounts,
        sum(hash(transaction_id, booked_on, amount)) filter (where leg = 2 and vat_code is null) as opposites,
        sum(amount) as rest,
        sum(reporting_amount) as reporting_rest
    from ledger.postings
    group by all
)

select account_id, currency
from banks
full outer join ours using (account_id, currency)
left join divided using (account_id, currency)
where banks.transactions is distinct from ours.bank_legs
    or banks.transactions is distinct from ours.other_legs + coalesce(divided.transactions, 0)
    or banks.amounts is distinct from ours.amounts
    or banks.opposites is distinct from coalesce(ours.opposites, 0) + coalesce(divided.opposites, 0)
    or ours.unknown_legs > 0
    or ours.rest <> 0
    or ours.reporting_rest <> 0
