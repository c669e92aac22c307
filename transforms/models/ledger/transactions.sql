-- One row per bank transaction, as the bank shows it now.
-- grain:  transaction_id
-- checks: not_null(account_id, source, status, transaction_on, amount, currency, labels, import_id, first_seen_at, last_changed_at),
--         accepted(source, 'kontist', 'kontomatik'), accepted(status, 'booked', 'pending'),
--         relationship(account_id, accounts)

with

versions       as (select * from intermediate.int_transaction_versions where valid_to is null),
counterparties as (select * from intermediate.int_counterparty_names),

transfers as (
    select transfer_id, unnest([out_transaction_id, in_transaction_id]) as transaction_id
    from ledger.transfers
    where status = 'matched'
),

final as (
    select
        versions.transaction_id,
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
        versions.counterparty_name,
        versions.counterparty_iban,
        counterparties.counterparty_id,
        description,
        end_to_end_id,
        transaction_type,
        category,
        labels,
        balance_after,
        transfers.transfer_id,
        import_id,
        first_seen_at,
        last_changed_at
    from versions
    left join transfers using (transaction_id)
    left join counterparties
        on counterparties.counterparty_name is not distinct from versions.counterparty_name
        and counterparties.counterparty_iban is not distinct from versions.counterparty_iban
)

select * from final
order by account_id, transaction_on, transaction_id
