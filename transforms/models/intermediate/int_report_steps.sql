-- One row per account and moment at which a bank without running balances showed something new: whether its balance follows the movements.
-- grain:  account_id, nth
-- checks: not_null(day, drift_amount, tied, difference_amount)

with

imports  as (select * from intermediate.int_imports),
reports  as (select * from intermediate.int_reported_balances),
chained  as (select distinct account_id from intermediate.int_chain_ends),
accounts as (
    select account_id, source, currency
    from intermediate.int_accounts
    anti join chained using (account_id)
),

versions as (
    select versions.account_id, transaction_id, amount, booked_on, import_id, valid_from, valid_to
    from intermediate.int_transaction_versions as versions
    inner join accounts using (account_id)
    where versions.status = 'booked' and versions.currency is not distinct from accounts.currency
),

-- Older days that a deeper read brings to light moved the balance long ago
depths as (
    select
        account_id,
        finished_at,
        min(coalesce(window_start, date '0001-01-01')) over (partition by account_id order by finished_at) as known_from
    from imports
    where status = 'complete' and account_id is not null and finished_at is not null
),

came as (
    select account_id, valid_from as shown_at, import_id, booked_on, sum(amount) as amount
    from versions
    group by account_id, valid_from, import_id, booked_on
),

begun as (
    select came.*, imports.started_at
    from came
    left join imports using (import_id)
),

came_anew as (
    select begun.account_id, begun.shown_at, sum(begun.amount) as amount
    from begun
    asof left join depths on depths.account_id = begun.account_id and depths.finished_at < begun.started_at
    where depths.known_from is null or begun.booked_on >= depths.known_from
    group by begun.account_id, begun.shown_at
),

went as (select account_id, valid_to as shown_at, -sum(amount) as amount from versions where valid_to is not null group by account_id, valid_to),

moments as (
    select account_id, shown_at, sum(amount) as amount
    from (
        select * from came_anew
        union all
        select * from went
        union all
        select account_id, shown_at, 0 as amount from reports semi join accounts using (account_id)
    )
    group by account_id, shown_at
),

known as (
    select account_id, shown_at, sum(amount) over (partition by account_id order by shown_at) as so_far
    from moments
),

points as (
    select
        known.account_id,
        row_number() over (partition by known.account_id order by known.shown_at) as nth,
        cast(known.shown_at at time zone case accounts.source when 'kontist' then 'Europe/Berlin' else 'Europe/Warsaw' end as date) as day,
        cast(reports.balance - known.so_far as decimal(18, 2))      as drift_amount
    from known
    inner join accounts using (account_id)
    asof inner join reports on reports.account_id = known.account_id and reports.shown_at <= known.shown_at
    where reports.balance is not null
),

-- A bank whose balance runs ahead of its list for a while is right again later: what lies between two moments that tie is proven
compared as (
    select
        *,
        lag(day) over moments                                       as since,
        drift_amount - lag(drift_amount) over moments               as difference_amount,
        max(nth) over (partition by account_id, drift_amount)       as ties_until
    from points
    window moments as (partition by account_id order by nth)
),

final as (
    select
        account_id,
        nth,
        day,
        since,
        drift_amount,
        -- the first moment has nothing before it to tie to
        nth = 1 or coalesce(
            max(ties_until) over (partition by account_id order by nth rows between unbounded preceding and 1 preceding) >= nth, false
        )                                                           as tied,
        cast(coalesce(difference_amount, 0) as decimal(18, 2))      as difference_amount
    from compared
)

select * from final
