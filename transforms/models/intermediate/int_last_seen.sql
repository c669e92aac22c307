-- One row per account and stretch of days, with the last import that covers all of them.
-- grain:  account_id, from_on
-- checks: not_null(to_on, import_id)

with

files as (select * from intermediate.int_file_accounts where is_current),

-- A bank shows all that it has, which may begin long after the days that files hold
imports as (
    select
        account_id,
        source,
        import_id,
        as_of,
        case when source = 'file' then finished_on + 1 else finished_on end as finished_on,
        case
            when files.account_id is null or source = 'file' then coalesce(window_start, date '0001-01-01')
            else greatest(window_start, first_bank_on)
        end                                                         as window_start,
        coalesce(window_end, finished_on)                           as window_end
    from intermediate.int_imports
    left join files using (account_id)
    where status = 'complete' and account_id is not null and as_of is not null
),

-- The last one to see a day is the last whose window reaches back to it: of each, only days before all later ones are left
later as (
    select
        *,
        min(window_start) over (
            partition by account_id order by as_of desc, import_id desc rows between unbounded preceding and 1 preceding
        )                                                           as seen_later_from
    from imports
),

final as (
    select
        account_id,
        source,
        import_id,
        as_of                                                       as seen_at,
        finished_on                                                 as seen_on,
        window_start                                                as from_on,
        least(window_end, coalesce(seen_later_from - 1, window_end)) as to_on
    from later
    where seen_later_from is null or window_start < seen_later_from
)

select * from final
