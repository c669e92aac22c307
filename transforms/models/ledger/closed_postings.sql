-- One row per leg of an entry of a closed month, as exports wrote it when the month was closed. Later changes are `corrections`.
-- grain:  account_id, month, kind, entry, is_correction, leg
-- checks: not_null(booked_on, movement_on, ledger_account, amount, currency, is_bank),
--         accepted(kind, 'transaction', 'opening', 'difference'), relationship(account_id, accounts)

with

legs as (select * from staging.stg_closings__legs),

final as (
    select
        account_id,
        month,
        kind,
        entry,
        leg,
        booked_on,
        movement_on,
        is_correction,
        payee,
        narration,
        transfer_id,
        decided_by,
        reversal_of,
        ledger_account,
        is_bank,
        amount,
        currency
    from legs
)

select * from final
order by account_id, month, booked_on, kind, entry, is_correction, leg
