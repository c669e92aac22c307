-- One row per transfer between own accounts: the movement that left one and the one that reached the other.
-- grain:  transfer_id
-- checks: not_null(out_transaction_id, in_transaction_id, out_account_id, in_account_id, out_amount, in_amount, left_on, arrived_on),
--         accepted(status, 'matched', 'suggested'),
--         accepted(evidence, 'decision', 'both_ibans', 'exchange', 'one_iban', 'reference', 'kind', 'amount'),
--         joins(out_transaction_id, transactions.transaction_id), joins(in_transaction_id, transactions.transaction_id),
--         joins(out_account_id, accounts.account_id), joins(in_account_id, accounts.account_id)

with

transfers as (select * from intermediate.int_transfers),
legs      as (select * from intermediate.int_transfer_legs),

final as (
    select
        concat('t-', left(md5(concat(transfers.out_transaction_id, ' ', transfers.in_transaction_id)), 16)) as transfer_id,
        case when transfers.evidence = 'amount' then 'suggested' else 'matched' end as status,
        transfers.evidence,
        transfers.out_transaction_id,
        transfers.in_transaction_id,
        gone.account_id                                             as out_account_id,
        came.account_id                                             as in_account_id,
        cast(gone.cents * -0.01 as decimal(18, 2))                  as out_amount,
        gone.currency                                               as out_currency,
        cast(came.cents * 0.01 as decimal(18, 2))                   as in_amount,
        came.currency                                               as in_currency,
        gone.day                                                    as left_on,
        came.day                                                    as arrived_on
    from transfers
    inner join legs as gone on gone.transaction_id = transfers.out_transaction_id
    inner join legs as came on came.transaction_id = transfers.in_transaction_id
)

select * from final
order by left_on, out_transaction_id
