-- One row per booked entry of each imported file that was not taken back: where it stands, and whether the ledger counts it.
-- grain:  file_id, transaction_id
-- checks: not_null(account_id, place, booked_on, amount, currency, status), accepted(status, 'counted', 'shown', 'contradicted'),
--         joins(account_id, accounts), joins(bank_transaction_id, transactions.transaction_id)

with

held    as (select * from staging.stg_file__entries where valid_to is null),
entries as (select transaction_id, status, bank_transaction_id from intermediate.int_file_entries),

final as (
    select
        held.file_id,
        held.transaction_id,
        held.account_id,
        held.place,
        held.booked_on,
        held.amount,
        held.currency,
        entries.status,
        entries.bank_transaction_id
    from held
    inner join entries using (transaction_id)
)

select * from final
order by account_id, booked_on, transaction_id, file_id
