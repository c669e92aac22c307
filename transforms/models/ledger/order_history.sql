-- One row per version of a standing or timed order: what the bank showed, from when to when, and when it ended.
-- grain:  account_id, order_kind, order_id, valid_from
-- checks: not_null(source, amount, currency), accepted(order_kind, 'standing', 'timed'),
--         accepted(change, 'new', 'changed', 'ended'), relationship(account_id, accounts)

with

standing_orders as (select * from staging.stg_kontist__standing_orders),
timed_orders    as (select * from staging.stg_kontist__timed_orders),

orders as (
    select
        order_id,
        account_id,
        'standing'                                                  as order_kind,
        status,
        amount,
        currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        reoccurrence,
        next_payment_on,
        last_payment_on,
        valid_from,
        valid_to
    from standing_orders
    union all
    select
        order_id,
        account_id,
        'timed'                                                     as order_kind,
        status,
        amount,
        currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        cast(null as varchar)                                       as reoccurrence,
        payment_on                                                  as next_payment_on,
        cast(null as date)                                          as last_payment_on,
        valid_from,
        valid_to
    from timed_orders
),

versions as (
    select
        *,
        lag(valid_to) over lives                                    as previous_valid_to,
        lead(valid_from) over lives                                 as next_valid_from
    from orders
    window lives as (partition by account_id, order_kind, order_id order by valid_from)
),

shown as (
    select *, case when previous_valid_to = valid_from then 'changed' else 'new' end as change
    from versions
),

-- A timed order leaves the bank's list when it is paid or cancelled: its last known values stay
ended as (
    select * replace (valid_to as valid_from, next_valid_from as valid_to), 'ended' as change
    from versions
    where valid_to is not null and next_valid_from is distinct from valid_to
),

moments as (
    select * from shown
    union all
    select * from ended
),

final as (
    select
        order_id,
        account_id,
        'kontist'                                                   as source,
        order_kind,
        status,
        amount,
        currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        reoccurrence,
        next_payment_on,
        last_payment_on,
        valid_from,
        valid_to,
        change
    from moments
)

select * from final
order by account_id, order_kind, order_id, valid_from
