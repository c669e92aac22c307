-- One row per account or card: what stays the same when it is read again.
-- grain:  account_id
-- checks: not_null(source, source_account_id, institution, account_type, ledger_account)

with

accounts as (select * from intermediate.int_accounts),

final as (
    select
        account_id,
        source,
        source_account_id,
        institution,
        account_type,
        iban,
        name,
        currency,
        ledger_account,
        own_iban
    from accounts
)

select * from final
