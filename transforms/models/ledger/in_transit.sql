-- One row per booked movement to or from an own account whose other end is not there: the balance of `Assets:Transit`.
-- grain:  transaction_id
-- checks: not_null(account_id, booked_on, amount, currency, days, overdue, decided_by), relationship(account_id, accounts)

with

postings  as (select * from ledger.postings where leg = 2 and ledger_account = 'Assets:Transit'),
transfers as (select * from ledger.transfers where status = 'matched'),
accounts  as (select * from intermediate.int_accounts),

paired as (select unnest([out_transaction_id, in_transaction_id]) as transaction_id from transfers),

waiting as (
    select
        postings.transaction_id,
        postings.account_id,
        postings.booked_on,
        cast(-postings.amount as decimal(18, 2))                    as amount,
        postings.currency,
        greatest(coalesce(accounts.last_completed_on, accounts.last_booked_on) - postings.booked_on, 0) as days,
        postings.decided_by
    from postings
    inner join accounts using (account_id)
    anti join paired using (transaction_id)
),

final as (select *, days > 10 as overdue from waiting)

select * from final
order by account_id, booked_on, transaction_id
