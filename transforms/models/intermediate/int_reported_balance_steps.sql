-- One row per account and moment at which a bank without running balances showed news: whether its balance follows the movements.
-- grain:  account_id, nth
-- checks: not_null(day, drift_amount, tied, difference_amount)

with

imports  as (select * from intermediate.int_imports where source <> 'file'),
reports  as (select * from intermediate.int_reported_balances),
chained  as (select distinct account_id from intermediate.int_running_balance_ends),
accounts as (
    select account_id, time_zone, currency
    from intermediate.int_accounts
    anti join chained using (account_id)
),

versions as (
    select versions.account_id, transaction_id, amount, booked_on, import_id, valid_from, valid_to
    from intermediate.int_transaction_versions as versions
    inner join accounts using (account_id)
    where versions.status = 'booked' and versions.source <> 'file' and versions.currency is not distinct from accounts.currency
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

complete as (select account_id, finished_at, finished_on from imports where status = 'complete' and account_id is not null),

of_files as (
    select files.account_id, transaction_id, amount, booked_on, import_id, valid_from, valid_to
    from intermediate.int_transaction_versions as files
    inner join accounts using (account_id)
    where files.source = 'file' and files.valid_to is null and files.currency is not distinct from accounts.currency
),

dated as (
    select
        versions.*,
        cast(valid_from at time zone accounts.time_zone as date)
            < booked_on as is_ahead
    from versions
    inner join accounts using (account_id)
),

-- A row that is dated ahead moves the balance on its own day, or, at some banks, at once: for an account with such rows both are tried
ways as (
    select account_id, false as at_once from accounts
    union all
    select distinct account_id, true as at_once from dated where is_ahead
),

counted as (
    select dated.* exclude (is_ahead), at_once, valid_from as shown_at
    from dated
    inner join ways using (account_id)
    where at_once or not is_ahead
    union all
    -- it counts from the first read that ends on its day or later
    select dated.* exclude (is_ahead), false as at_once, complete.finished_at as shown_at
    from dated
    asof inner join complete on complete.account_id = dated.account_id and complete.finished_on >= dated.booked_on
    where dated.is_ahead and (dated.valid_to is null or complete.finished_at < dated.valid_to)
    union all
    -- what a file adds to days that no read covers was in the balance of the first read after its day
    select of_files.*, ways.at_once, complete.finished_at as shown_at
    from of_files
    inner join ways using (account_id)
    asof inner join complete on complete.account_id = of_files.account_id and complete.finished_on > of_files.booked_on
),

came as (
    select account_id, at_once, shown_at, import_id, booked_on, sum(amount) as amount
    from counted
    group by account_id, at_once, shown_at, import_id, booked_on
),

first_reads as (
    select came.*, imports.started_at
    from came
    left join imports using (import_id)
),

came_anew as (
    select first_reads.account_id, first_reads.at_once, first_reads.shown_at, sum(first_reads.amount) as amount
    from first_reads
    asof left join depths on depths.account_id = first_reads.account_id and depths.finished_at < first_reads.started_at
    where depths.known_from is null or first_reads.booked_on >= depths.known_from
    group by first_reads.account_id, first_reads.at_once, first_reads.shown_at
),

went as (
    select account_id, at_once, valid_to as shown_at, -sum(amount) as amount
    from counted
    where valid_to is not null
    group by account_id, at_once, valid_to
),

moments as (
    select account_id, at_once, shown_at, sum(amount) as amount
    from (
        select * from came_anew
        union all
        select * from went
        union all
        select account_id, at_once, shown_at, 0 as amount from reports inner join ways using (account_id)
    )
    group by account_id, at_once, shown_at
),

known as (
    select account_id, at_once, shown_at, sum(amount) over (partition by account_id, at_once order by shown_at) as so_far
    from moments
),

points as (
    select
        known.account_id,
        known.at_once,
        row_number() over (partition by known.account_id, known.at_once order by known.shown_at) as nth,
        known.shown_at,
        cast(known.shown_at at time zone accounts.time_zone as date) as day,
        cast(reports.balance - known.so_far as decimal(18, 2))      as drift_amount
    from known
    inner join accounts using (account_id)
    asof inner join reports on reports.account_id = known.account_id and reports.shown_at <= known.shown_at
    where reports.balance is not null
),

-- A bank whose balance runs ahead of its list for a while is right again later: what lies between two moments that tie is reconciled
compared as (
    select
        *,
        lag(day) over moments                                       as since,
        drift_amount - lag(drift_amount) over moments               as difference_amount,
        max(nth) over (partition by account_id, at_once, drift_amount) as ties_until
    from points
    window moments as (partition by account_id, at_once order by nth)
),

judged as (
    select
        *,
        -- the first moment has nothing before it to tie to
        nth = 1 or coalesce(
            max(ties_until) over (
                partition by account_id, at_once order by nth rows between unbounded preceding and 1 preceding
            ) >= nth,
            false
        )                                                           as tied
    from compared
),

fitting as (
    select account_id, at_once
    from judged
    group by account_id, at_once
    qualify row_number() over (partition by account_id order by count(*) filter (where not tied), at_once) = 1
),

final as (
    select
        account_id,
        nth,
        shown_at,
        day,
        since,
        drift_amount,
        tied,
        cast(coalesce(difference_amount, 0) as decimal(18, 2))      as difference_amount,
        at_once
    from judged
    semi join fitting using (account_id, at_once)
)

select * from final
