-- One row per account of the double entry: those of the chart, and one for each bank account and card.
-- grain:  ledger_account
-- checks: not_null(kind, description, category_group, category), accepted(kind, 'asset', 'liability', 'equity', 'income', 'expense'),
--         joins(account_id, accounts)

with

chart    as (select * from seeds.chart_of_accounts),
accounts as (select * from intermediate.int_account_identities),

final as (
    select
        ledger_account,
        kind,
        description,
        cast(null as varchar)                                       as account_id,
        -- without a group in the seed: the part in the middle, or else the first
        coalesce(
            category_group,
            case when ledger_account like '%:%:%' then replace(split_part(ledger_account, ':', 2), '-', ' ') end,
            split_part(ledger_account, ':', 1)
        )                                                           as category_group,
        replace(split_part(ledger_account, ':', -1), '-', ' ')      as category
    from chart
    union all
    select
        ledger_account,
        case when starts_with(ledger_account, 'Liabilities:') then 'liability' else 'asset' end as kind,
        display_name                                                as description,
        account_id,
        'Own accounts'                                              as category_group,
        display_name                                                as category
    from accounts
)

select * from final
order by ledger_account
