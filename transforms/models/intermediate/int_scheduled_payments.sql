-- One row per payment of a standing or timed order: those whose day has come while the order was active, and future ones.
-- grain:  account_id, order_id, order_kind, due_on
-- checks: not_null(amount, currency, known_through, called_off, payable_from), accepted(order_kind, 'standing', 'timed')

with

standing as (select * from staging.stg_kontist__standing_orders),
timed    as (select * from staging.stg_kontist__timed_orders),
accounts as (select account_id, last_completed_on from intermediate.int_accounts where last_completed_on is not null),
settings as (select * from intermediate.int_settings),

steps as (
    select * from (
        values
            ('WEEKLY', interval 7 day),
            ('BIWEEKLY', interval 14 day),
            ('MONTHLY', interval 1 month),
            ('QUARTERLY', interval 3 month),
            ('EVERY_SIX_MONTHS', interval 6 month),
            ('ANNUALLY', interval 12 month)
    ) as words (reoccurrence, step)
),

-- An order of the 31st is paid on the 28th of February: its day in other months is the true one
true_days as (
    select account_id, order_id, max(day(next_payment_on)) as day_of_month
    from standing
    where next_payment_on is not null
    group by account_id, order_id
),

-- A version promises what falls due until another takes its place, or until the horizon if none has
standing_versions as (
    select
        standing.*,
        accounts.last_completed_on                                  as known_through,
        steps.step,
        lead(upper(standing.status)) over (partition by account_id, order_id order by standing.valid_from) as next_status,
        coalesce(standing.valid_to_on, accounts.last_completed_on + settings.forecast_days) as until_on,
        case
            when standing.next_payment_on = last_day(standing.next_payment_on) then true_days.day_of_month
            else day(standing.next_payment_on)
        end                                                         as day_of_month
    from standing
    inner join accounts using (account_id)
    left join true_days using (account_id, order_id)
    cross join settings
    left join steps on steps.reoccurrence = upper(standing.reoccurrence)
    qualify upper(standing.status) = 'ACTIVE' and standing.next_payment_on is not null
),

-- Counted from the first day each time, so that a short month does not shorten the months after it
occurrences as (
    select
        *,
        unnest(range(case when step is null then 1 else 1 + greatest(0, (until_on - next_payment_on) // 7) end)) as nth
    from standing_versions
    where next_payment_on <= until_on
),

standing_promises as (
    select
        *,
        case
            when step is null or step in (interval 7 day, interval 14 day) then cast(next_payment_on + coalesce(step, interval 0 day) * nth as date)
            else cast(least(
                date_trunc('month', next_payment_on + step * nth) + to_days(cast(day_of_month - 1 as integer)),
                last_day(cast(next_payment_on + step * nth as date))
            ) as date)
        end                                                         as due_on
    from occurrences
),

-- A transfer under way without a day of its own is due on the day on which it was first seen
transfer_versions as (
    select
        timed.*,
        accounts.last_completed_on                                  as known_through,
        min(timed.valid_from) over (partition by timed.account_id, timed.order_id) as first_seen_at,
        coalesce(timed.payment_on, cast(first_seen_at at time zone 'Europe/Berlin' as date)) as due_on,
        accounts.last_completed_on + settings.forecast_days         as horizon
    from timed
    inner join accounts using (account_id)
    cross join settings
    where timed.is_transfer
),

transfers as (
    select *
    from transfer_versions
    qualify row_number() over (partition by account_id, order_id order by valid_from desc) = 1
),

promises as (
    select
        account_id,
        order_id,
        'standing'                                                  as order_kind,
        due_on,
        due_on - 4                                                  as payable_from,
        amount,
        currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        known_through,
        -- cancelled on the very day: only the movement shows whether that was before the payment
        coalesce(next_status in ('CANCELED', 'CANCELLED') and due_on = valid_to_on, false) as called_off,
        cast(null as timestamptz)                                   as undated_since,
        valid_from
    from standing_promises
    where due_on <= until_on and due_on <= coalesce(last_payment_on, due_on)
    union all
    select
        timed.account_id,
        timed.order_id,
        'timed'                                                     as order_kind,
        timed.payment_on                                            as due_on,
        timed.payment_on - 4                                        as payable_from,
        timed.amount,
        timed.currency,
        timed.counterparty_name,
        timed.counterparty_iban,
        timed.description,
        timed.end_to_end_id,
        accounts.last_completed_on                                  as known_through,
        false                                                       as called_off,
        cast(null as timestamptz)                                   as undated_since,
        timed.valid_from
    from timed
    inner join accounts using (account_id)
    cross join settings
    where not timed.is_transfer
        and upper(timed.status) = 'SCHEDULED'
        and timed.payment_on <= coalesce(timed.valid_to_on, accounts.last_completed_on + settings.forecast_days)
    union all
    -- Booked, failed or cancelled, a transfer is no longer listed: only the movement shows which. Nobody has confirmed some yet
    select
        account_id,
        order_id,
        'timed'                                                     as order_kind,
        due_on,
        due_on                                                      as payable_from,
        amount,
        currency,
        counterparty_name,
        counterparty_iban,
        description,
        end_to_end_id,
        known_through,
        valid_to is not null or upper(status) in ('AUTHORIZATION_REQUIRED', 'CONFIRMATION_REQUIRED') as called_off,
        case when payment_on is null then first_seen_at end         as undated_since,
        valid_from
    from transfers
    where due_on <= horizon
),

final as (
    select *
    from promises
    qualify row_number() over (partition by account_id, order_id, order_kind, due_on order by valid_from desc) = 1
)

select * from final
