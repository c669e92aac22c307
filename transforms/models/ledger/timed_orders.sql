-- One row per timed order and transfer under way at Kontist, as the bank shows it now.
-- grain:  account_id, order_id
-- checks: not_null(source, amount, currency, first_seen_at, last_changed_at), relationship(account_id, accounts)

with

orders as (select * from staging.stg_kontist__timed_orders),

seen as (
    select account_id, order_id, min(valid_from) as first_seen_at
    from orders
    group by account_id, order_id
),

final as (
    select
        orders.order_id,
        orders.account_id,
        'kontist'                                                   as source,
        orders.status,
        orders.order_type,
        orders.amount,
        orders.currency,
        orders.counterparty_name,
        orders.counterparty_iban,
        orders.description,
        orders.end_to_end_id,
        orders.payment_on,
        seen.first_seen_at,
        orders.valid_from                                           as last_changed_at
    from orders
    inner join seen using (account_id, order_id)
    where orders.valid_to is null
)

select * from final
order by account_id, order_id
