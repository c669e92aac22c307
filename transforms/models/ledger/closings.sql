-- One row per account and closed month: when it was closed, what was recorded of it then, and how many of its transactions differ since.
-- grain:  account_id, month
-- checks: not_null(closed_at, closed_by, transactions, money_in, money_out, transactions_sha256, complete, changed_transactions),
--         relationship(account_id, accounts)

with

months  as (select * from staging.stg_closings__months),
changes as (select * from ledger.closed_month_changes),

changed as (
    select account_id, month, count(*) as changed_transactions
    from changes
    group by account_id, month
),

final as (
    select
        months.account_id,
        months.month,
        months.closed_at,
        months.closed_by,
        months.first_day,
        months.last_day,
        months.currency,
        months.transactions,
        months.money_in,
        months.money_out,
        months.opening_balance,
        months.closing_balance,
        months.transactions_sha256,
        months.bank_balance_on,
        months.bank_balance,
        months.ledger_account,
        months.days,
        months.seen_days,
        months.reconciled_days,
        months.complete,
        coalesce(changed.changed_transactions, 0)                   as changed_transactions
    from months
    left join changed using (account_id, month)
)

select * from final
order by account_id, month
