-- One row per run that read, or tried to read, an account: when, and with what result at the banks.
-- grain:  run_id
-- checks: not_null(started_at, status, accounts, failed, held, skipped), accepted(status, 'ok', 'partial', 'failed')

with

imports as (select * from intermediate.int_imports),

final as (
    select
        run_id,
        min(started_at)                                             as started_at,
        max(finished_at)                                            as finished_at,
        date_diff('second', min(started_at), max(finished_at))      as reading_seconds,
        -- as the run itself ends: everything failed, something has to be known, or neither
        case
            when bool_and(status = 'failed') then 'failed'
            when bool_or(status in ('partial', 'failed', 'doubted') or (status = 'complete' and reason is not null)) then 'partial'
            else 'ok'
        end                                                         as status,
        count(distinct account_id) filter (where status in ('complete', 'partial')) as accounts,
        count(*) filter (where status = 'failed')                   as failed,
        count(*) filter (where status = 'doubted')                  as held,
        count(*) filter (where status = 'skipped')                  as skipped,
        cast(coalesce(sum(new_rows), 0) as bigint)                  as new_rows,
        cast(coalesce(sum(changed_rows), 0) as bigint)              as changed_rows,
        cast(coalesce(sum(removed_rows), 0) as bigint)              as removed_rows,
        cast(coalesce(sum(requests), 0) as bigint)                  as requests
    from imports
    where run_id is not null
    group by run_id
)

select * from final
order by started_at, run_id
