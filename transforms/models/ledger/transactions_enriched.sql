-- One row per transaction, with all that a person asks next: account, category, counterparty and converted amount by name.
-- grain:  transaction_id
-- checks: joins(transaction_id, transactions), joins(account_id, accounts), joins(counterparty_id, counterparties),
--         joins(ledger_account, ledger_accounts), joins(transfer_id, transfers), joins(booked_on, calendar.day), joins(month, calendar.day)

-- No step has the name of a table: DuckDB 1.0 would take it for itself in a stored view
with

moved         as (select * from ledger.transactions),
held_in       as (select * exclude (ledger_account) from ledger.accounts),
other_legs    as (
    select transaction_id, ledger_account, reporting_amount, reporting_currency, decided_by, reversal_of
    from ledger.postings
    where leg = 2 and vat_code is null
    union all
    -- of a movement that is divided, or has tax in it: the whole amount, and the category of the largest part without its tax
    select
        transaction_id,
        list(ledger_account order by leg > 1000, abs(amount) desc, leg)[1] as ledger_account,
        sum(reporting_amount)                                       as reporting_amount,
        any_value(reporting_currency)                               as reporting_currency,
        list(decided_by order by leg > 1000, abs(amount) desc, leg)[1] as decided_by,
        any_value(reversal_of)                                      as reversal_of
    from ledger.postings
    where leg > 4 or (leg = 2 and vat_code is not null)
    group by transaction_id
),
categories    as (select * from ledger.ledger_accounts),
other_sides   as (select * from ledger.counterparties),

final as (
    select
        moved.transaction_id,
        moved.account_id,
        held_in.display_name                                        as account,
        held_in.institution,
        held_in.account_type,
        held_in.owner_name,
        moved.source,
        moved.status,
        moved.status = 'pending'                                    as is_pending,
        moved.status = 'memo'                                       as is_memo,
        moved.transaction_on,
        moved.booked_on,
        moved.value_on,
        cast(date_trunc('month', coalesce(moved.booked_on, moved.transaction_on)) as date) as month,
        case when moved.amount < 0 then 'out' else 'in' end         as direction,
        moved.amount,
        cast(abs(moved.amount) as decimal(18, 2))                   as unsigned_amount,
        moved.currency,
        cast(-other_legs.reporting_amount as decimal(18, 2))        as reporting_amount,
        other_legs.reporting_currency,
        other_legs.ledger_account,
        categories.kind                                             as category_kind,
        categories.category_group,
        categories.category,
        other_legs.decided_by,
        moved.transfer_id,
        other_legs.reversal_of,
        moved.counterparty_id,
        coalesce(other_sides.name, moved.counterparty_name) as counterparty,
        moved.counterparty_iban,
        coalesce(other_sides.is_own, false)                         as is_own_counterparty,
        moved.description,
        moved.end_to_end_id,
        moved.transaction_type,
        moved.category                                              as bank_category,
        moved.labels
    from moved
    inner join held_in using (account_id)
    left join other_legs using (transaction_id)
    left join categories using (ledger_account)
    left join other_sides using (counterparty_id)
)

select * from final
