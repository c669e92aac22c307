-- One row per booked movement to or from an own account whose other half is missing, or smaller: the balance of `Assets:Transit`.
-- grain:  transaction_id
-- checks: not_null(account_id, booked_on, amount, currency, days, overdue, decided_by), relationship(account_id, accounts),
--         joins(transaction_id, transactions), joins(booked_on, calendar.day)

with

postings  as (
    select transaction_id, account_id, booked_on, amount, currency, decided_by
    from ledger.postings
    where leg = 2 and ledger_account = 'Assets:Transit'
    union all
    -- of a divided movement, the parts that a seed sends there
    select transaction_id, account_id, booked_on, sum(amount) as amount, currency, min(decided_by) as decided_by
    from ledger.postings
    where leg > 4 and ledger_account = 'Assets:Transit'
    group by all
),
transfers as (select * from ledger.transfers where status = 'matched'),

known     as (select known_through from intermediate.int_known_through),

paired as (select unnest([out_transaction_id, in_transaction_id]) as transaction_id from transfers),

without_end as (
    select
        transaction_id,
        account_id,
        booked_on,
        -amount                                                     as amount,
        currency,
        decided_by
    from postings
    anti join paired using (transaction_id)
),

-- A confirmed pair of unequal amounts, unless a person decided on the rest
without_rest as (
    select transaction_id, account_id, booked_on, amount, currency, decided_by
    from intermediate.int_transit_rests
    anti join (select transaction_id from seeds.transactions) as decided using (transaction_id)
),

waiting as (
    select * from without_end
    union all
    select * from without_rest
),

final as (
    select
        waiting.transaction_id,
        waiting.account_id,
        waiting.booked_on,
        cast(waiting.amount as decimal(18, 2))                      as amount,
        waiting.currency,
        greatest(known.known_through - waiting.booked_on, 0)        as days,
        waiting.decided_by,
        greatest(known.known_through - waiting.booked_on, 0) > 10   as overdue
    from waiting
    cross join known
)

select * from final
order by account_id, booked_on, transaction_id
