-- One row per transaction that a bank added to a closed month, changed in it or took out of it after it was closed.
-- grain:  account_id, month, transaction_id
-- checks: not_null(change), accepted(change, 'new', 'changed', 'removed'), joins(account_id, accounts)

with

closed_through as (select * from intermediate.int_closed_through),
transactions   as (select * from ledger.transactions where status = 'booked'),
history        as (select * from ledger.transaction_history),
before         as (select * from ledger.closed_transactions),

after as (
    select
        transactions.account_id,
        cast(date_trunc('month', transactions.booked_on) as date)   as month,
        transactions.transaction_id,
        transactions.booked_on,
        transactions.amount,
        transactions.currency,
        transactions.last_changed_at
    from transactions
    inner join closed_through using (account_id)
    where transactions.booked_on <= closed_through.closed_through
),

compared as (
    select
        account_id,
        month,
        transaction_id,
        case
            when before.transaction_id is null then 'new'
            when after.transaction_id is null then 'removed'
            else 'changed'
        end                                                         as change,
        before.booked_on                                            as before_on,
        after.booked_on                                             as after_on,
        before.amount                                               as before_amount,
        after.amount                                                as after_amount,
        coalesce(after.currency, before.currency)                   as currency,
        after.last_changed_at
    from before
    full outer join after using (account_id, month, transaction_id)
    where before.booked_on is distinct from after.booked_on
        or before.amount is distinct from after.amount
        or before.currency is distinct from after.currency
),

-- A transaction that left the month is gone, or is in another month now
left_at as (
    select history.transaction_id, max(history.valid_from) as left_at
    from history
    semi join compared on compared.transaction_id = history.transaction_id and compared.change = 'removed'
    group by history.transaction_id
),

final as (
    select
        compared.account_id,
        compared.month,
        compared.transaction_id,
        compared.change,
        compared.before_on,
        compared.after_on,
        compared.before_amount,
        compared.after_amount,
        compared.currency,
        coalesce(compared.last_changed_at, left_at.left_at)         as noticed_at
    from compared
    left join left_at using (transaction_id)
)

select * from final
order by account_id, month, transaction_id
