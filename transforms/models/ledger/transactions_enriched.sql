-- One row per transaction, with all that a person asks next: account, category, counterparty and converted amount by name.
-- grain:  transaction_id
-- checks: joins(transaction_id, transactions), joins(account_id, accounts), joins(counterparty_id, counterparties),
--         joins(ledger_account, ledger_accounts), joins(transfer_id, transfers), joins(booked_on, calendar.day), joins(month, calendar.day)

with

transactions    as (select * from ledger.transactions),
accounts        as (select * exclude (ledger_account) from ledger.accounts),
postings        as (select * from ledger.postings where leg = 2),
ledger_accounts as (select * from ledger.ledger_accounts),
counterparties  as (select * from ledger.counterparties),

final as (
    select
        transactions.transaction_id,
        transactions.account_id,
        accounts.display_name                                       as account,
        accounts.institution,
        accounts.account_type,
        accounts.owner_name,
        transactions.source,
        transactions.status,
        transactions.status = 'pending'                             as is_pending,
        transactions.status = 'memo'                                as is_memo,
        transactions.transaction_on,
        transactions.booked_on,
        transactions.value_on,
        cast(date_trunc('month', coalesce(transactions.booked_on, transactions.transaction_on)) as date) as month,
        case when transactions.amount < 0 then 'out' else 'in' end  as direction,
        transactions.amount,
        cast(abs(transactions.amount) as decimal(18, 2))            as unsigned_amount,
        transactions.currency,
        cast(-postings.reporting_amount as decimal(18, 2))          as reporting_amount,
        postings.reporting_currency,
        postings.ledger_account,
        ledger_accounts.kind                                        as category_kind,
        ledger_accounts.category_group,
        ledger_accounts.category,
        postings.decided_by,
        transactions.transfer_id,
        postings.reversal_of,
        transactions.counterparty_id,
        coalesce(counterparties.name, transactions.counterparty_name) as counterparty,
        transactions.counterparty_iban,
        coalesce(counterparties.is_own, false)                      as is_own_counterparty,
        transactions.description,
        transactions.end_to_end_id,
        transactions.transaction_type,
        transactions.category                                       as bank_category,
        transactions.labels
    from transactions
    inner join accounts using (account_id)
    left join postings using (transaction_id)
    left join ledger_accounts using (ledger_account)
    left join counterparties using (counterparty_id)
)

select * from final
