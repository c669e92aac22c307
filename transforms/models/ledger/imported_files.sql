-- One row per file of account statements that was imported: what it holds, and how much of that the bank shows itself.
-- grain:  file_id
-- checks: not_null(account_id, name, sha256, format, bytes, entries, counted, shown_by_bank, contradicted, money_in, money_out, imported_at),
--         accepted(format, 'CAMT.053', 'MT940', 'CSV'), joins(account_id, accounts)

with

files      as (select * from staging.stg_file__files),
statements as (select * from staging.stg_file__statements),
rows_held  as (select file_id, status from ledger.file_entries),

days as (
    select
        file_id,
        min(first_on)                                               as first_on,
        max(last_on)                                                as last_on,
        count(closing_balance)                                      as statements_with_balances
    from statements
    group by file_id
),

counts as (
    select
        file_id,
        count(*) filter (where status = 'counted')                  as counted,
        count(*) filter (where status = 'shown')                    as shown_by_bank,
        count(*) filter (where status = 'contradicted')             as contradicted
    from rows_held
    group by file_id
),

final as (
    select
        files.file_id,
        files.account_id,
        files.name,
        files.sha256,
        files.format,
        files.bytes,
        days.first_on,
        days.last_on,
        coalesce(days.statements_with_balances, 0)                  as statements_with_balances,
        files.entries,
        coalesce(counts.counted, 0)                                 as counted,
        coalesce(counts.shown_by_bank, 0)                           as shown_by_bank,
        coalesce(counts.contradicted, 0)                            as contradicted,
        files.money_in,
        files.money_out,
        files.imported_at,
        files.undone_at
    from files
    left join days using (file_id)
    left join counts using (file_id)
)

select * from final
order by imported_at, file_id
