-- One row per confirmed pair of unequal amounts: the remainder, with the larger movement.
-- grain:  transaction_id
-- checks: not_null(account_id, booked_on, amount, currency)

with

transfers as (select * from intermediate.int_transfers where evidence <> 'amount'),
legs      as (select *, cast(cents * case when is_out then -0.01 else 0.01 end as decimal(18, 2)) as amount from intermediate.int_transfer_legs),

final as (
    select
        larger.transaction_id,
        larger.account_id,
        larger.day                                                  as booked_on,
        cast(gone.amount + came.amount as decimal(18, 2))           as amount,
        gone.currency,
        concat('transfer ', transfers.evidence)                     as decided_by
    from transfers
    inner join legs as gone on gone.transaction_id = transfers.out_transaction_id
    inner join legs as came on came.transaction_id = transfers.in_transaction_id
    inner join legs as larger
        on larger.transaction_id
            = case when gone.amount + came.amount < 0 then gone.transaction_id else came.transaction_id end
    where gone.currency = came.currency and gone.amount + came.amount <> 0
)

select * from final
