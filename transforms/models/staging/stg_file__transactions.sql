-- Every version of every booked entry of the imported files, in the ledger's names; once where several files hold it.
-- grain:  transaction_id, valid_from
-- checks: not_null(account_id, amount, currency, booked_on)

with

-- What the files that were imported earlier show, the later ones repeat; what is left of them counts once those are taken back
held as (
    select
        *,
        max(coalesce(_dlt_valid_to, timestamptz 'infinity')) over (
            partition by transaction_id
            order by _dlt_valid_from, import_id
            rows between unbounded preceding and 1 preceding
        )                                                           as held_until
    from raw.file.transactions
)

select
    -- keys
    transaction_id,
    account_id,
    import_id,
    file_id,
    place,
    occurrence,
    -- days
    window_on                                                       as booked_on,
    coalesce(value_on, window_on)                                   as value_on,
    -- money
    amount,
    currency,
    is_reversal,
    -- texts
    nullif(trim(counterparty_name), '')                             as counterparty_name,
    nullif(trim(counterparty_iban), '')                             as counterparty_iban,
    nullif(trim(description), '')                                   as description,
    nullif(trim(end_to_end_id), '')                                 as end_to_end_id,
    nullif(trim(mandate_number), '')                                as mandate_number,
    nullif(trim(transaction_type), '')                              as transaction_type,
    nullif(trim(reference), '')                                     as reference,
    -- validity
    greatest(_dlt_valid_from, coalesce(held_until, _dlt_valid_from)) as valid_from,
    _dlt_valid_to                                                   as valid_to
from held
where held_until is null or held_until < coalesce(_dlt_valid_to, timestamptz 'infinity')
