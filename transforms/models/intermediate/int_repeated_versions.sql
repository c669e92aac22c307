-- One row per version of a transaction with several versions: the version before it and the one after it.
-- grain:  transaction_id, valid_from
-- checks: not_null(first_seen_at)

with

kontist    as (select transaction_id, valid_from, valid_to from staging.stg_kontist__transactions),
kontomatik as (select transaction_id, valid_from, valid_to from staging.stg_kontomatik__transactions),
files      as (select transaction_id, valid_from, valid_to from staging.stg_file__transactions),

versions as (
    select * from kontist
    union all
    select * from kontomatik
    union all
    select * from files
),

-- Nearly every transaction has one version only; the few others are all that has to be sorted
repeated as (select transaction_id from versions group by transaction_id having count(*) > 1),

final as (
    select
        transaction_id,
        valid_from,
        min(valid_from) over lives                                  as first_seen_at,
        lag(valid_to) over lives                                    as previous_valid_to,
        lead(valid_from) over lives                                 as next_valid_from
    from versions
    semi join repeated using (transaction_id)
    window lives as (partition by transaction_id order by valid_from)
)

select * from final
