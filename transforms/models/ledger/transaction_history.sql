-- One row per version of a transaction: what the bank showed, from when to when.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, source, status, transaction_on, amount, currency, labels, import_id, first_seen_at, last_changed_at),
--         accepted(change, 'new', 'changed', 'removed'), relationship(account_id, accounts), joins(transfer_id, transfers),
--         joins(booked_on, calendar.day), joins(transaction_on, calendar.day)

with

versions       as (select * from intermediate.int_transaction_versions),
counterparties as (select * from intermediate.int_counterparty_names),
successions    as (select * from intermediate.int_successions),

transfers as (
    select transfer_id, unnest([out_transaction_id, in_transaction_id]) as transaction_id
    from ledger.transfers
    where status = 'matched'
),

shown as (
    select
        *,
        -- a version that starts in the instant its forerunner ends replaces it; any gap means that it had been gone
        case when previous_valid_to = valid_from then 'changed' else 'new' end as change
    from versions
),

removed as (
    select
        * replace (valid_to as valid_from, next_valid_from as valid_to),
        'removed'                                                   as change
    from versions
    where valid_to is not null and next_valid_from is distinct from valid_to
),

moments as (
    select * from shown
    union all
    select * from removed
),

final as (
    select
        moments.transaction_id,
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
        moments.counterparty_name,
        moments.counterparty_iban,
        -- a memo is in no total of a counterparty
        case when status <> 'memo' then counterparties.counterparty_id end as counterparty_id,
        description,
        end_to_end_id,
        transaction_type,
        category,
        labels,
        balance_after,
        transfers.transfer_id,
        import_id,
        first_seen_at,
        last_changed_at,
        valid_from,
        valid_to,
        change,
        case when status = 'booked' then successions.succeeds_transaction_id end as succeeds_transaction_id
    from moments
    left join successions using (transaction_id)
    left join transfers using (transaction_id)
    left join counterparties
        on counterparties.counterparty_name is not distinct from moments.counterparty_name
        and counterparties.counterparty_iban is not distinct from moments.counterparty_iban
)

select * from final
order by account_id, transaction_on, transaction_id, valid_from
