-- One row per run: when, with what result, how long each phase took, what it brought, and what its checks found.
-- grain:  run_id
-- checks: not_null(started_at, status, accounts, failed, held, skipped, requests),
--         accepted(status, 'ok', 'partial', 'failed', 'checks_failed', 'interrupted', 'killed')

with

imports  as (select * from intermediate.int_imports),
recorded as (select * from given.runs),

attempts as (
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
        sum(new_rows)                                               as new_rows,
        sum(changed_rows)                                           as changed_rows,
        sum(removed_rows)                                           as removed_rows,
        sum(requests)                                               as requests
    from imports
    where run_id is not null
    group by run_id
),

final as (
    select
        run_id,
        coalesce(attempts.started_at, recorded.started_at)          as started_at,
        attempts.finished_at,
        recorded.ended_at,
        attempts.reading_seconds,
        recorded.extract_seconds,
        recorded.load_seconds,
        recorded.transform_seconds,
        recorded.total_seconds,
        coalesce(recorded.status, attempts.status, 'ok')            as status,
        coalesce(attempts.accounts, 0)                              as accounts,
        coalesce(attempts.failed, 0)                                as failed,
        coalesce(attempts.held, 0)                                  as held,
        coalesce(attempts.skipped, 0)                               as skipped,
        cast(coalesce(attempts.new_rows, 0) as bigint)              as new_rows,
        cast(coalesce(attempts.changed_rows, 0) as bigint)          as changed_rows,
        cast(coalesce(attempts.removed_rows, 0) as bigint)          as removed_rows,
        recorded.quarantined_rows,
        cast(coalesce(recorded.requests, attempts.requests, 0) as bigint) as requests,
        recorded.checks_passed,
        recorded.checks_failed,
        recorded.open_accounts,
        recorded.stale_accounts
    from attempts
    full join recorded using (run_id)
)

select * from final
order by started_at, run_id
