-- One row per attempt to read one account.
-- grain:  import_id
-- checks: not_null(source, run_id, started_at, status), accepted(source, 'kontist', 'kontomatik', 'file'),
--         accepted(status, 'complete', 'partial', 'failed', 'skipped', 'doubted'), joins(run_id, runs)

with

imports as (select * from intermediate.int_imports),

final as (
    select
        import_id,
        account_id,
        source,
        run_id,
        consent_id,
        depth,
        window_start,
        window_end,
        started_at,
        finished_at,
        as_of,
        status,
        rows,
        new_rows,
        changed_rows,
        removed_rows,
        requests,
        reason
    from imports
)

select * from final
order by started_at, import_id
