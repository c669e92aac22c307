-- One row per bank transaction, as the bank shows it now.
-- grain:  transaction_id
-- checks: not_null(account_id, source, status, transaction_on, amount, currency, labels, import_id, first_seen_at, last_changed_at),
--         accepted(source, 'kontist', 'kontomatik', 'file'), accepted(status, 'booked', 'pending', 'cancelled', 'memo'),
--         relationship(account_id, accounts), joins(import_id, imports), joins(counterparty_id, counterparties),
--         joins(transfer_id, transfers), joins(booked_on, calendar.day), joins(transaction_on, calendar.day)

with

-- What the history shows as still so. The history is sorted by account, day and transaction already, and its order is kept.
versions as (select * from ledger.transaction_history where valid_to is null and change <> 'removed'),

final as (
    select
        transaction_id,
        account_id,
        source,
        source_transaction_id,
        status,
        transaction_on,
        booked_on,
        value_on,
        booked_at,
        amount,
        currency,
        original_amount,
        original_currency,
        counterparty_name,
        counterparty_iban,
        counterparty_id,
        description,
        end_to_end_id,
        transaction_type,
        category,
        labels,
        balance_after,
        transfer_id,
        import_id,
        first_seen_at,
        last_changed_at
    from versions
)

select * from final
