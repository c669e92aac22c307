-- One row per split of a current transaction, and whether the books follow it.
-- grain:  transaction_id, split
-- checks: not_null(account_id, currency, status), accepted(status, 'posted', 'unequal', 'overruled', 'not_booked')

with

splits       as (select * from staging.stg_kontist__splits where valid_to is null),
transactions as (select * from intermediate.int_transaction_versions where valid_to is null),

sums as (
    -- leg numbers of more than 900 splits would be those of tax legs
    select transaction_id, case when count(amount) = count(*) and count(*) <= 900 then sum(amount) end as amount
    from splits
    group by transaction_id
),

-- A person's word, own money and a payment that comes back are about the whole movement
overruled as (
    select transaction_id from intermediate.int_decisions where not starts_with(decided_by, 'rule ')
    union
    select transaction_id from intermediate.int_transfer_legs where names_own
    union
    select transaction_id from intermediate.int_reversals
),

final as (
    select
        splits.transaction_id,
        splits.split,
        splits.account_id,
        splits.source_split_id,
        transactions.source,
        transactions.booked_on,
        splits.amount,
        splits.currency,
        splits.category,
        splits.category_code,
        splits.vat_category_code,
        splits.vat_rate,
        splits.user_selected_booking_on,
        transactions.transaction_type,
        case
            when transactions.status <> 'booked' then 'not_booked'
            when overruled.transaction_id is not null then 'overruled'
            when sums.amount = transactions.amount then 'posted'
            else 'unequal'
        end                                                         as status
    from splits
    inner join transactions using (transaction_id)
    inner join sums using (transaction_id)
    left join overruled using (transaction_id)
)

select * from final
