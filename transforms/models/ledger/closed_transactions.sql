-- One row per booked transaction of a closed month, as its bank showed it when the month was closed: `closings.transactions_sha256` is of these.
-- grain:  account_id, month, transaction_id
-- checks: not_null(booked_on, amount, currency), relationship(account_id, accounts)

with

closed as (select * from staging.stg_closings__transactions),

final as (
    select
        account_id,
        month,
        transaction_id,
        booked_on,
        amount,
        currency
    from closed
)

select * from final
order by account_id, month, transaction_id
