-- Every version of every Kontist account, in the ledger's names and units.
-- grain:  account_id, valid_from
-- checks: not_null(source_account_id)

select
    -- keys
    account_id,
    source_account_id,
    -- what it is: the bank's own account type is deprecated and says nothing that a reader needs
    'account'                                                       as account_type,
    nullif(trim(iban), '')                                          as iban,
    nullif(upper(replace(bic, ' ', '')), '')                        as bic,
    nullif(trim(name), '')                                          as name,
    'EUR'                                                           as currency,
    -- money: cents to euros without leaving DECIMAL
    cast(balance_cents * 0.01 as decimal(18, 2))                    as balance,
    cast(available_balance_cents * 0.01 as decimal(18, 2))          as available_balance,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontist.accounts
