-- One row per account and day with booked movements: their sums in the account's own currency.
-- grain:  account_id, day
-- checks: not_null(money_in, money_out, transactions, of_files, amount_of_files)

with

transactions as (
    select * from intermediate.int_transaction_versions where valid_to is null and status = 'booked'
),

accounts as (select account_id, currency from intermediate.int_account_identities),

final as (
    select
        transactions.account_id,
        transactions.booked_on                                      as day,
        coalesce(sum(transactions.amount) filter (where transactions.amount > 0 and own), 0) as money_in,
        coalesce(sum(transactions.amount) filter (where transactions.amount < 0 and own), 0) as money_out,
        count(*)                                                    as transactions,
        count(*) filter (where not own)                             as in_other_currencies,
        count(*) filter (where transactions.source = 'file')        as of_files,
        coalesce(sum(transactions.amount) filter (where transactions.source = 'file' and own), 0) as amount_of_files
    from transactions
    inner join accounts using (account_id)
    cross join lateral (select transactions.currency is not distinct from accounts.currency as own)
    group by transactions.account_id, transactions.booked_on
)

select * from final
