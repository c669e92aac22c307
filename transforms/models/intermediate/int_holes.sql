-- One row per stretch of days of an account that was never read, that its bank can no longer show, and that no imported file covers.
-- grain:  account_id, from_on
-- checks: not_null(to_on, noticed_at)

with

holes   as (select * from staging.stg_kontomatik__holes),
filled  as (
    select account_id, window_start, window_end
    from staging.stg_file__imports
    where status = 'complete'
),

touched as (
    select distinct holes.account_id, holes.from_on
    from holes
    inner join filled
        on filled.account_id = holes.account_id and filled.window_start <= holes.to_on and filled.window_end >= holes.from_on
),

days as (
    select
        holes.*,
        cast(unnest(generate_series(cast(from_on as timestamp), cast(to_on as timestamp), interval 1 day)) as date) as day
    from holes
    semi join touched using (account_id, from_on)
),

left_over as (
    select
        days.*,
        -- days in a row have one number
        day - cast(row_number() over (partition by account_id, from_on order by day) as integer) as stretch
    from days
    where not exists (
        select 1
        from filled
        where filled.account_id = days.account_id and days.day between filled.window_start and filled.window_end
    )
),

final as (
    select account_id, import_id, from_on, to_on, noticed_at
    from holes
    anti join touched using (account_id, from_on)
    union all
    select account_id, any_value(import_id), min(day), max(day), any_value(noticed_at)
    from left_over
    group by account_id, from_on, stretch
)

select * from final
