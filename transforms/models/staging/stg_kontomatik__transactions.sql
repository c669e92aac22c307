-- Every version of every transaction that Kontomatik reads, in the ledger's names and units.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, amount, currency, transaction_on), accepted(status, 'booked', 'pending', 'cancelled')

select
    -- keys
    transaction_id,
    account_id,
    import_id,
    -- a bank that gives no status shows booked movements only; of the others nothing is known but that they are not booked
    case
        when status is null or upper(trim(status)) = 'DONE' then 'booked'
        when regexp_matches(
            lower(status), 'cancel|reject|declin|refus|expir|void|revers|rollback|fail|releas|withdrawn|storn|anul|odrzuc|zruš|zam[ií]t'
        ) then 'cancelled'
        else 'pending'
    end                                                             as status,
    -- days: one of the two may be missing, never both
    coalesce(transaction_on, booked_on)                             as transaction_on,
    coalesce(booked_on, transaction_on)                             as booked_on,
    window_on,
    position_in_day,
    -- money
    amount,
    currency,
    balance_after,
    -- texts
    nullif(trim(party), '')                                         as counterparty_name,
    nullif(trim(party_iban), '')                                    as counterparty_iban,
    nullif(trim(title), '')                                         as description,
    nullif(trim(kind), '')                                          as transaction_type,
    cast(cast(labels as json) as varchar[])                         as labels,
    variable_symbol,
    constant_symbol,
    -- validity
    _dlt_valid_from                                                 as valid_from,
    _dlt_valid_to                                                   as valid_to
from raw.kontomatik.transactions
