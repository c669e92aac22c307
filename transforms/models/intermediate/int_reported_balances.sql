-- One row per account and moment at which its bank began to report a balance.
-- grain:  account_id, shown_at

with

kontist    as (select account_id, valid_from, balance, cast(null as varchar) as consent_id from staging.stg_kontist__accounts),
kontomatik as (select account_id, valid_from, balance, consent_id from staging.stg_kontomatik__accounts),

both_banks as (
    select * from kontist
    union all
    select * from kontomatik
),

final as (
    select account_id, valid_from as shown_at, balance
    from both_banks
    qualify row_number() over (partition by account_id, valid_from order by consent_id desc nulls last, balance) = 1
)

select * from final
