-- One row per split of a current transaction: a part to which the customer gave a category of its own at the bank.
-- grain:  transaction_id, split
-- checks: not_null(account_id, currency, status), accepted(status, 'posted', 'unequal', 'overruled', 'not_booked'),
--         relationship(transaction_id, transactions), relationship(account_id, accounts)

with

splits as (select * from intermediate.int_splits),

final as (
    select
        transaction_id,
        split,
        account_id,
        source_split_id,
        amount,
        currency,
        category,
        category_code,
        vat_category_code,
        vat_rate,
        user_selected_booking_on,
        status,
        case when status = 'posted' then cast(4 + split as bigint) end as leg
    from splits
)

select * from final
order by account_id, transaction_id, split
