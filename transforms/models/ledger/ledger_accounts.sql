-- One row per account of the double entry: those of the chart, and one for each bank account and card.
-- grain:  ledger_account
-- checks: not_null(kind, description), accepted(kind, 'asset', 'liability', 'equity', 'income', 'expense')

with

chart    as (select * from seeds.chart_of_accounts),
accounts as (select * from intermediate.int_account_identities),

final as (
    select
        ledger_account,
        kind,
        description,
        cast(null as varchar)                                       as account_id
    from chart
    union all
    select
        ledger_account,
        case when account_type = 'card' then 'liability' else 'asset' end as kind,
        concat_ws(' ', institution, account_type, coalesce('…' || right(iban, 4), name, source_account_id), currency) as description,
        account_id
    from accounts
)

select * from final
order by ledger_account
