-- One row per booked transaction that certainly succeeds a pending one, which the bank has stopped showing.
-- grain:  transaction_id
-- checks: not_null(succeeds_transaction_id)

with

versions as (select * from intermediate.int_transaction_versions),

vanished as (
    select account_id, transaction_id as succeeds_transaction_id, transaction_on, amount, currency, first_seen_at
    from versions
    where status = 'pending' and valid_to is not null and next_valid_from is null
),

booked as (
    select account_id, transaction_id, booked_on, amount, currency, first_seen_at
    from versions
    where status = 'booked' and valid_from = first_seen_at
),

-- a bank books a card payment under another id, some days later; at another amount no rule can connect the two
candidates as (
    select booked.transaction_id, vanished.succeeds_transaction_id
    from booked
    inner join vanished using (account_id, amount, currency)
    where booked.first_seen_at > vanished.first_seen_at
        and booked.booked_on between vanished.transaction_on and vanished.transaction_on + 8
),

-- of two that fit, either may be the one: then neither is named
final as (
    select transaction_id, succeeds_transaction_id
    from candidates
    qualify count(*) over (partition by transaction_id) = 1 and count(*) over (partition by succeeds_transaction_id) = 1
)

select * from final
