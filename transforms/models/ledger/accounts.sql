-- One row per bank account or card, with the values that the bank reported last.
-- grain:  account_id
-- checks: not_null(source, source_account_id, institution, account_type, display_name, ledger_account),
--         accepted(source, 'kontist', 'kontomatik', 'file'), accepted(account_type, 'account', 'card'),
--         joins(ledger_account, ledger_accounts)

with

accounts   as (select * from intermediate.int_accounts),
identities as (select account_id, display_name, ledger_account from intermediate.int_account_identities),
balances   as (select account_id, balance_on from intermediate.int_balance_days),

final as (
    select
        accounts.* exclude (time_zone, last_completed_on, last_imported_on, own_iban) replace (identities.ledger_account as ledger_account),
        balances.balance_on,
        identities.display_name
    from accounts
    inner join identities using (account_id)
    left join balances on balances.account_id = accounts.account_id and accounts.balance is not null
)

select * from final
order by account_id
